"""One worker in a run folder at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finefit.errors import RunFailed


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Holds a lock that the system releases when this process ends, however it ends.

    A record lock: one of `flock` would live on in the data loader's processes, which may outlive a killed worker.
    """
    with (run / "worker.lock").open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them, POSIX leaves open
            raise RunFailed(f"another worker is still training in {run}") from None
        yield
