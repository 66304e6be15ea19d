"""The libraries that a training step runs, and which of them are installed.

Knows: the names and the versions. Does not know: whether an installed library can be imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")
"""What plans, runs and measurements name."""
STEP = tuple(name for name in LIBRARIES if name != "datasets")
"""What a step allocates is theirs to decide: a tape holds for their versions. datasets only brings the rows."""


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """Versions; what is not here is left out."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
