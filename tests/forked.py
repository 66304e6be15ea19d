"""Workers that start at once: see forker.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

OF_A_RUN = "TENSORBOARD_LOGGING_DIR"
"""What a run made in the test's own process says in its environment, and no other run should hear."""


class Forked:
    """A worker, as `Popen` would have it."""

    def __init__(self, pid: int, forker: Forker) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forker = forker

    def poll(self) -> int | None:
        return self._ended(waits=False)

    def wait(self) -> int:
        code = self._ended(waits=True)
        assert code is not None
        return code

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def end(self, number: int) -> int:
        """Sends a signal; returns the exit code, negative where the signal ended the process."""
        os.kill(self.pid, number)
        return self.wait()

    def _ended(self, waits: bool) -> int | None:
        if self.returncode is None:
            self.returncode = self._forker.say(ended=self.pid, waits=waits)
        return self.returncode


class Forker:
    """The process that forks them, started with the first."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self, *words: Any, log: str | Path = os.devnull, environment: dict[str, str] | None = None) -> Forked:
        told = os.environ | (environment or {})
        told.pop(OF_A_RUN, None)
        return Forked(self.say(words=[*map(str, words)], folder=str(Path.cwd()), environment=told, log=str(log)), self)

    def say(self, **told: Any) -> Any:
        if self._process is None:
            command = [sys.executable, str(Path(__file__).with_name("forker.py"))]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=os.environ | {"PYTHONHASHSEED": "0"},
            )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait()
