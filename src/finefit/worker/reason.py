"""Why something failed, as a user should read it; the log has the rest."""

from __future__ import annotations

import errno


def one_line(error: BaseException) -> str:
    name = type(error).__name__
    text = str(error).strip().splitlines()
    first = text[0] if text else name
    if name == "OutOfMemoryError":
        return f"out of memory on the GPU: {first}"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; try: pip install 'finefit[train]'"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "no space is left on the disk"
    ours = type(error).__module__.startswith("finefit.")
    return first if ours else f"{name}: {first}"
