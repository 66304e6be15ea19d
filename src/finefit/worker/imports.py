"""Libraries are imported once and stay: nothing looks through them for garbage, neither meanwhile nor later.

torch, transformers, TRL and PEFT leave 850,000 objects. To look through them again and again took an eighth of the time
of their import, and a twelfth of the rehearsals after it (`docs/log.md`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """What is there at the end is never collected."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
