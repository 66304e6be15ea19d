"""How a run is stopped from outside: the first signal asks, the second does not."""

from __future__ import annotations

import os
import signal
from typing import Any

EXIT_STOPPED = 3


class Stopped(Exception):
    """The run was asked to stop, and can be resumed."""


class Stop:
    """Asked by SIGTERM or SIGINT, and when the process that started this one is gone."""

    def __init__(self) -> None:
        self._heard = False
        self._parent = os.getppid()

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: Any) -> None:
        if self._heard:
            os._exit(128 + number)
        self._heard = True

    @property
    def asked(self) -> bool:
        return self._heard or os.getppid() != self._parent

    def check(self) -> None:
        """Between two stages of a run, where nothing needs to be saved."""
        if self.asked:
            raise Stopped
