"""How long Python and torch need to start a micro-batch's kernels: where they are small, the GPU waits for that.

Knows: how many kernels there are, by what is born. Does not know: the user's processor.
"""

from __future__ import annotations

from finefit.tape.born import Born

FORWARD_SECONDS = 20e-6
"""Guessed: of a kernel that Python code of a module starts."""
BACKWARD_SECONDS = 10e-6
"""Guessed: of one that autograd starts."""


def launch_seconds(born: Born) -> float:
    forward = backward = 0
    for (category, phase, module, _), held in born.items():
        if category == "workspace" or phase == "load":
            continue
        if phase == "backward" and not module:
            backward += held.count
        else:
            forward += held.count
    return forward * FORWARD_SECONDS + backward * BACKWARD_SECONDS
