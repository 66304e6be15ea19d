"""The sha256 of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.digest import sha256_of


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_several_files_are_hashed_as_one(tmp_path_factory, contents: list[bytes]) -> None:
    """However the bytes are spread over them."""
    folder: Path = tmp_path_factory.mktemp("files")
    files = [folder / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    assert sha256_of(*files) == hashlib.sha256(b"".join(contents)).hexdigest()
