"""transformers lists what its 3,000 files have to give twice as it is imported: for itself, and for its models.

It means to list them once: `create_import_structure_from_path` keeps what it found (seen in 5.17 to 5.23), but only of
the last 128 folders, and there are 1,100. That is a twelfth of the start of a rehearsal. Ends when it keeps them all.
"""

from __future__ import annotations

import functools
from typing import Any


def models_are_listed_once() -> None:
    """Imports transformers: call it before others do."""
    bounded = functools.lru_cache

    def unbounded(maxsize: Any = 128, typed: bool = False) -> Any:
        return functools.cache(maxsize) if callable(maxsize) else bounded(maxsize, typed)

    functools.lru_cache = unbounded
    try:
        import transformers  # noqa: F401
    finally:
        functools.lru_cache = bounded
