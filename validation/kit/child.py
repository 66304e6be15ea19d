"""One fresh worker process for one point. It may be started early: it loads its libraries and waits for a word."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .points import Point

SOURCE = Path(__file__).parent.parent.parent / "src"
ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Two names of one setting; what the user's shell has of either is left out."""


class Child:
    def __init__(self, point: Point, orders: dict[str, Any]) -> None:
        self.point = point
        self._scratch = Path(tempfile.mkdtemp(prefix="finefit-grid-"))
        told, self._answer = self._scratch / "orders.json", self._scratch / "answer.json"
        told.write_text(json.dumps(orders | {"wait": True}))
        self._log = (self._scratch / "worker.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "finefit.worker", "measure", str(told), str(self._answer)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env=_environment(orders),
        )

    def go(self) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already, and its answer says why

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """What it wrote, or why it failed; None where it took longer than `seconds`."""
        try:
            code = self._process.wait(timeout=max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            return None
        if self._answer.exists():
            found: dict[str, Any] = json.loads(self._answer.read_text())
            return found
        return {"failed": _death(code)}

    def close(self) -> None:
        """Ends it where it still runs, and takes away what it wrote."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _environment(orders: dict[str, Any]) -> dict[str, str]:
    """Of this process, but with the allocator that the orders name and none other."""
    kept = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return kept | orders["environment"]


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the worker was killed by the system, probably because memory ran out"
    return f"the worker ended without an answer, by {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
