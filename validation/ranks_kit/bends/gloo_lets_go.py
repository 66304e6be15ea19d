"""gloo's threads hold a collective's tensors until they next run: a few milliseconds longer than anyone needs them.

torch 2.13  csrc/distributed/c10d/ProcessGroupGloo.cpp: a finished work is dropped by the thread that ran it, which must
            wait for Python's lock first. A GPU's communication has no such threads. After every wait we sleep, which
            hands them the lock; nothing is waited for in backward passes of DDP, whose buckets stay anyway.
"""

from __future__ import annotations

import time
from typing import Any

from torch.distributed import Work

SECONDS = 0.003


def let_go() -> None:
    wait = Work.wait

    def wait_longer(self: Any, *args: Any) -> Any:
        result = wait(self, *args)
        time.sleep(SECONDS)
        return result

    Work.wait = wait_longer  # type: ignore[method-assign]
