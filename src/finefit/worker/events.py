"""What happens in a run, one JSON object a line, written the moment it happens.

The file is only ever appended to, by one process at a time; a reader may follow it while it grows. A line that a
killed writer left half-written is closed by the next writer, and readers skip it. Every line has `event` and `time`:

started     resumed_from (a step; 0: from the beginning)
loaded      rows sequences (that they share, where they are packed) eval_rows parameters trainable_parameters
            checkpointed_blocks device threads stack seconds
eval        when (before, during, after) step loss tokens seconds; of preferences pairs in the place of tokens, and
            rewards (chosen rejected margins accuracies)
step        step steps epoch loss grad_norm learning_rate tokens tokens_per_second seconds seconds_left
            memory_bytes memory_kind (rss, allocated) peak_bytes; of preferences rewards
measured    kind (recorder: file; allocator: phases peak_bytes reserved_bytes device_bytes, of the rank that has most;
            held: ranks, of each what it holds between two steps)
checkpoint  step path bytes seconds
saved       path bytes
reloaded    max_difference tolerance agrees
profiled    first last files (steps under the profiler, and what was written of them)
note        text
stopped     (can be resumed)
failed      reason
done        steps tokens seconds rss_peak_bytes
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Events:
    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    def write(self, event: str, **values: Any) -> None:
        line = {"event": event, "time": time.time(), **_finite(values)}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def note(self, text: str) -> None:
        """Something the user should know."""
        self.write("note", text=text)


def teller(orders: dict[str, Any]) -> Callable[[str], None]:
    """Says how a short command gets on, where somebody listens (`events`: a file)."""
    return Events(Path(orders["events"])).note if orders.get("events") else lambda _: None


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
