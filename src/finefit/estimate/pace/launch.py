"""How many kernels Python and torch start for a micro-batch: where they are small, the GPU waits for that.

Knows: their number, by what is born. How long a processor takes for one is among the rates (`catalog/rates.py`):
guessed, unless it was measured on this machine.
"""

from __future__ import annotations

from finefit.tape.born import Born


def started(born: Born) -> tuple[int, int]:
    """Kernels that Python code of modules starts, and those that autograd does."""
    forward = backward = 0
    for (category, phase, module, _), held in born.items():
        if category == "workspace" or phase == "load":
            continue
        if phase == "backward" and not module:
            backward += held.count
        else:
            forward += held.count
    return forward, backward
