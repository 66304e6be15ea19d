"""Where things are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from finefit.world import caches


def test_the_place_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FINEFIT_CACHE, else XDG_CACHE_HOME, else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("FINEFIT_CACHE", "~/mine")
    assert caches.home() == Path.home() / "mine"
    monkeypatch.delenv("FINEFIT_CACHE")
    assert caches.home() == tmp_path / "xdg" / "finefit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert caches.home() == Path.home() / ".cache" / "finefit"


def test_a_file_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stopped before the end, the old one stays and nothing lies beside it."""
    path = tmp_path / "deep" / "file"
    caches.write(path, b"old")

    def stopped(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        caches.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in path.parent.iterdir()] == ["file"]
