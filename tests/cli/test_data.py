"""`finefit data`, as its user sees it."""

from __future__ import annotations

import json

import pytest

from .conftest import Cli

GOOD = '{"instruction": "Say a.", "output": "a a a a", "source": "x"}'


@pytest.fixture
def rows(cli: Cli) -> str:
    (cli.folder / "rows.jsonl").write_text("\n".join([GOOD, "{}", GOOD, GOOD.replace("a a", "b b")]))
    return "rows.jsonl"


def test_a_file_is_told(cli: Cli, rows: str) -> None:
    """Its format and how it is read, the bad row by its line, what is said twice, what nobody reads."""
    said = cli("data", rows, "--max-length", "15")
    assert said.code == 2
    assert "rows.jsonl: 3 rows, 1 more are bad" in said.out
    assert "instruction (Alpaca): as a message of the user" in said.out
    assert "rows.jsonl:2: no `messages`" in said.out
    assert "1 rows say what an earlier one says: rows.jsonl:3" in said.out
    assert "`source`" in said.out
    assert "15: no row is longer" in said.out


def test_a_good_file_is_no_failure(cli: Cli, rows: str) -> None:
    """Exit code 0, with the rows that are too long named: they are not bad by themselves."""
    (cli.folder / rows).write_text(GOOD)
    said = cli("data", rows, "--max-length", "5")
    assert said.code == 0
    assert "1 rows are longer, and would be refused: no row is cut: rows.jsonl:1" in said.out


def test_a_terminal_shows_twenty_and_json_all(cli: Cli, rows: str) -> None:
    """And says so."""
    (cli.folder / rows).write_text("\n".join([GOOD] + ["{}"] * 30))
    said = cli("data", rows)
    assert said.out.count("no format is known") == 20
    assert "and 10 more: --json names all" in said.out
    told = json.loads(cli("data", rows, "--json").out)
    assert [bad["number"] for bad in told["bad"]] == list(range(2, 32))
    assert told["rows"] == 1
    assert told["tokens"]["longest"] == sum(each["rows"] for each in told["histogram"]) * told["tokens"]["total"]


@pytest.mark.parametrize("words", [["nowhere.jsonl"], ["rows.csv"], []])
def test_no_file_is_bad_input(cli: Cli, words: list[str]) -> None:
    """Missing, without rows, or not named."""
    (cli.folder / "rows.csv").write_text("prompt,completion\n")
    assert cli("data", *words).code == 2


def test_pairs_are_told_as_pairs(cli: Cli, rows: str) -> None:
    """Nothing of them is trained by itself, so no share is."""
    (cli.folder / rows).write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}')
    said = cli("data", rows)
    assert said.code == 0
    assert "pairs for preferences (DPO)" in said.out
    assert "trained  " not in said.out
