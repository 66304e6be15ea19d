"""A worker that keeps a model loaded and answers as it is asked; `finefit.worker.chat` says how the two speak."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Interrupted, Problem, RunFailed
from finefit.nouns.sampling import Answer, Sampling

from . import worker

Message = Mapping[str, Any]
"""Content is text, or parts of which some are images."""


class Session:
    """One conversation with one loaded model. `stop` may be called from a signal handler."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, sampling: Sampling) -> None:
        self._process = process
        self._log = log
        self._sampling = sampling
        self._number = 0
        self._added = 0
        self.messages: list[Message] = []

    def say(self, said: str | list[dict[str, str]], on_text: Callable[[str], None], added: int = 0) -> Answer:
        """The answer to what the user says next; `on_text` hears it grow. What could not be answered was not said.
        `added`: tokens to which the placeholders of its images grow."""
        self._number += 1
        asked = [*self.messages, {"role": "user", "content": said}]
        added += self._added
        self._tell({"answer": self._number, "messages": asked, "added": added, **self._sampling.lower()})
        event = self._hear("answered", on_text)
        answer = Answer(event["text"], event["tokens"], event["seconds"], event["stopped"])
        self.messages, self._added = [*asked, {"role": "assistant", "content": answer.text}], added
        return answer

    def stop(self) -> None:
        """Ends the answer that is being written."""
        self._tell({"stop": self._number})

    def reset(self) -> None:
        self.messages, self._added = [], 0

    def _tell(self, said: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(said).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()
            raise RunFailed(worker.death(self._process, self._log), str(self._log)) from None

    def _hear(self, wanted: str, on_text: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event: dict[str, Any] = json.loads(line)
            match event["event"]:
                case "text":
                    on_text(event["text"])
                case "refused":
                    raise BadInput(*(Problem(**problem) for problem in event["problems"]))
                case "failed":
                    raise RunFailed(event["reason"], str(self._log))
                case name if name == wanted:
                    return event
        self._process.wait()
        raise RunFailed(worker.death(self._process, self._log), str(self._log))


@contextmanager
def opened(orders: Mapping[str, Any], sampling: Sampling) -> Iterator[Session]:
    """Once the model is loaded. The log stays where something failed."""
    scratch = Path(tempfile.mkdtemp(prefix="finefit-"))
    (scratch / "orders.json").write_text(json.dumps(orders))
    with (scratch / "worker.log").open("wb") as log:
        process = worker.start_answering(str(scratch / "orders.json"), log, orders.get("environment", {}))
    session = Session(process, scratch / "worker.log", sampling)
    failed = False
    try:
        try:
            session._hear("ready")
        except KeyboardInterrupt:
            raise Interrupted("stopped") from None
        yield session
    except RunFailed:
        failed = True
        raise
    finally:
        worker.kill(process)
        if not failed:
            shutil.rmtree(scratch, ignore_errors=True)
