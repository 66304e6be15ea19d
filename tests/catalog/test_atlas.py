"""The atlas that ships: every tape of it can be read and trusted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from finefit.catalog.atlas import FOLDER, tape_bytes
from finefit.tape.written import decode

FILES = sorted(Path(str(FOLDER)).glob("*.xz"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_tape_is_trusted(file: Path) -> None:
    """It is found by its key, and each of its histories knows the sizes between its points."""
    key = file.name.split(".")[-2]
    data = tape_bytes(key)
    assert data == file.read_bytes()
    tape = decode(data)
    assert tape.histories
    assert all(history.formulas is not None for history in tape.histories)
    assert tape.stack


def test_no_key_is_there_twice() -> None:
    counts = Counter(file.name.split(".")[-2] for file in FILES)
    assert FILES
    assert counts.most_common(1)[0][1] == 1
