"""Tapes of recipes that were rehearsed on this machine, by their key, the libraries' versions and finefit's own code.

A tape grows with every point that is rehearsed. It is written whole or not at all; a file that cannot be read is as if
it were not there.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

from finefit.catalog import libraries
from finefit.tape.tape import Tape
from finefit.tape.written import decode, encode
from finefit.world import caches


def folder() -> Path:
    return caches.home() / "tapes"


def read(key: str) -> Tape | None:
    try:
        return decode(_path(key).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(key: str, tape: Tape) -> None:
    """A cache that cannot be written is no reason to stop."""
    with suppress(OSError):
        caches.write(_path(key), encode(tape))


def installed() -> dict[str, str]:
    """Versions of the libraries that a rehearsal runs; those that are not here are left out."""
    return libraries.installed(libraries.STEP)


def _path(key: str) -> Path:
    return folder() / f"{key}-{_made_with()}.xz"


@cache
def _made_with() -> str:
    digest = hashlib.sha256(repr(sorted(installed().items())).encode())
    for file in sorted(Path(str(files("finefit")), "worker").rglob("*.py")):  # the code that records
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
