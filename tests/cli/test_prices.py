"""`finefit prices`, as its user sees it: the verb itself, with a cache of its own and no network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finefit.cli.main import run

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Said:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("FINEFIT_PRICES", raising=False)
    monkeypatch.delenv("FINEFIT_DEBUG", raising=False)
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> tuple[int, str, str]:
        code = run(("prices", *words))
        out, err = capsys.readouterr()
        return code, out, err

    return said


def test_a_machine_is_listed_the_cheapest_first(say: Said) -> None:
    """With provider, kind, date and how sure the figure is."""
    code, out, err = say("8xH100-80GB")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "8xH100 SXM5 80GB, by the hour"
    figures = [float(line.split()[0]) for line in lines[2:-1]]
    assert figures == sorted(figures) != []
    assert any("p5.48xlarge" in line and "on demand" in line and "2026-11-09" in line for line in lines)


def test_without_a_name_every_card_is_listed(say: Said) -> None:
    """Also those that are free, from a contingent, or somebody's own."""
    code, out, _ = say()
    assert code == 0
    assert all(word in out for word in ("GeForce RTX 4090", "Kaggle", "Colab", "subscription", "community", "spot"))


def test_json_has_the_source_and_the_arithmetic(say: Said) -> None:
    """One object on stdout alone."""
    code, out, err = say("2x4090", "--json")
    listed = json.loads(out)
    assert (code, err, listed["gpu"], listed["counts"]) == (0, "", "2xGeForce RTX 4090", list(range(1, 9)))
    first = listed["offers"][0]
    assert first["why"].startswith(f"2 x {first['usd_per_hour'] / 2:g} USD/h")
    assert first["source"]
    assert json.loads(say("--json")[1])["gpu"] is None


def test_a_number_that_nobody_sells_is_an_answer(say: Said) -> None:
    """It says which numbers are sold; a card without any price says how to name one."""
    code, out, _ = say("3xT4")
    assert code == 0
    assert "there are machines with 1, 2, 4, 8" in out
    assert "FINEFIT_PRICES=FILE.csv" in say("TITAN RTX")[1]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("RTX4091",), "did you mean GeForce RTX 4090"),
        (("cpu",), "the processor has no price"),
        (("auto",), "no GPU is here"),
        (("--refresh",), "pip install 'finefit[prices]'"),
        (("4090", "3090"), "unexpected extra argument"),
    ],
)
def test_wrong_words_end_with_two(say: Said, words: tuple[str, ...], fragment: str) -> None:
    """And say what to try; nothing is kept."""
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert fragment in err
    assert list(Path.cwd().iterdir()) == []


def test_a_users_broken_file_is_told_whole(say: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """By line and column."""
    Path("own.csv").write_text("provider,gpu,count,kind,usd_per_machine_hour,date\nx,4090,no,spot,1,today\n")
    monkeypatch.setenv("FINEFIT_PRICES", "own.csv")
    code, out, err = say("4090")
    assert (code, out) == (2, "")
    assert "2 problems with the input" in err
    assert f"own.csv:2: count: 'no' is no number of GPUs{os.linesep}" in err
    assert "own.csv:2: date: 'today' is no date" in err
