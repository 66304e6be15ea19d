"""llama.cpp's converter, with a small script in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finefit.errors import BadInput, RunFailed
from finefit.run import gguf


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "bin" / "llama-convert-hf-to-gguf"
    made.parent.mkdir()
    made.write_text('#!/bin/sh\ntest -f "$1/config.json" && test "$2" = --outfile && echo GGUF > "$3"\n')
    made.chmod(0o755)
    monkeypatch.setenv("PATH", str(made.parent), prepend=os.pathsep)
    return made


def test_what_it_writes_stands_beside_the_folder(script: Path, tmp_path: Path) -> None:
    """It gets the folder, and its file has the folder's name."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    made = gguf.convert(gguf.converter(), tmp_path / "out")
    assert made == tmp_path / "out.gguf"
    assert made.read_text() == "GGUF\n"


def test_where_it_fails_its_last_words_are_told(script: Path, tmp_path: Path) -> None:
    """Nothing stands beside the folder then."""
    (tmp_path / "out").mkdir()
    script.write_text('#!/bin/sh\necho half > "$3"; echo Model TinyModel is not supported >&2; exit 1\n')
    with pytest.raises(RunFailed, match="TinyModel is not supported"):
        gguf.convert(gguf.converter(), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "out"]


def test_where_it_is_not_there_it_is_said_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message, before anything is merged."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="pipx install"):
        gguf.converter()
