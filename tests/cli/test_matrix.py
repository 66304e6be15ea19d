"""`finefit matrix`, as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finefit.cli.main import run

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Said:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FINEFIT_PRICES", raising=False)
    monkeypatch.delenv("FINEFIT_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> tuple[int, str, str]:
        code = run(("matrix", *words))
        out, err = capsys.readouterr()
        return code, out, err

    return said


def test_cards_counts_and_methods_are_chosen(say: Said) -> None:
    """JSON is on stdout alone."""
    code, out, _ = say("llama-3.2-1b", "--gpu", "RTX4090,A10G", "--count", "1,2", "--methods", "lora", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    named = [("GeForce RTX 4090", 1), ("GeForce RTX 4090", 2), ("A10G (AWS g5)", 1), ("A10G (AWS g5)", 2)]
    assert [(row["gpu"], row["count"], row["method"]) for row in rows] == [(*one, "lora") for one in named]


def test_all_problems_come_at_once(say: Said) -> None:
    """With exit code 2, each by the option that it is of."""
    code, out, err = say(
        "llama-3.2-1b", "--gpu", "RTX4090,2xL4,nothing", "--count", "0,1", "--methods", "best", "--rows", "many",
        "--tokens", "9", "--format", "pdf", "--lora-r", "x",
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert "8 problems" in err
    for name in (
        "--gpu: '2xL4'",
        "--gpu: unknown GPU",
        "--count",
        "--methods",
        "--rows",
        "--tokens",
        "--format",
        "--lora-r",
    ):
        assert name in err


def test_a_file_is_of_the_kind_that_its_name_says(say: Said) -> None:
    """Unless a format is named; one of no kind is refused."""
    asked = "llama-3.2-1b", "--gpu", "RTX4090", "--count", "1", "--methods", "lora"
    for name, begins in (("a.md", "# "), ("a.html", "<!doctype html>"), ("a.json", "{"), ("a.csv", "gpu,count,method")):
        assert say(*asked, "-o", name)[:2] == (0, "")
        assert Path(name).read_text(encoding="utf-8").startswith(begins)
    assert say(*asked, "-o", "b.md", "--format", "csv")[0] == 0
    assert Path("b.md").read_text(encoding="utf-8").startswith("gpu,")
    assert say(*asked, "-o", "a.pdf")[0] == 2
    assert say(*asked, "-o", "nowhere/a.md")[0] == 2


def test_the_terminal_prints_what_each_tier_is(say: Said) -> None:
    """Under the table, with what figures may be off by."""
    code, out, _ = say("llama-3.2-1b", "--gpu", "RTX4090", "--count", "1", "--methods", "lora")
    assert code == 0
    for words in ("highly recommended: ", "challenging: ", "not recommended: ", "memory is about", "RTX 4090"):
        assert words in out


def test_no_torch_is_imported(tmp_path: Path) -> None:
    """Tapes of the atlas answer without."""
    code = (
        "import sys; from finefit.cli.main import run; "
        "assert run(['matrix', 'llama-3.2-1b', '--gpu', 'L4', '--count', '1', '-o', 'a.md']) == 0; "
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    places = {"FINEFIT_CACHE": "cache", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ | places)
