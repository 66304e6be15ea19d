"""Prices of one's own, those that were kept, and ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from finefit.catalog.prices import offers, shipped
from finefit.errors import BadInput
from finefit.world.prices import EXAMPLE, keep, kept, kept_at, prices, read

Written = Callable[[str], Path]

HEADER = "provider,gpu,count,kind,usd_per_machine_hour,date"


@pytest.fixture(autouse=True)
def empty_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FINEFIT_PRICES", raising=False)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Written:
    """A file that FINEFIT_PRICES names."""

    def write(text: str) -> Path:
        path = tmp_path / "own.csv"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("FINEFIT_PRICES", str(path))
        return path

    return write


def test_nobody_says_anything_else_than_the_shipped_list() -> None:
    """Neither a file nor a refresh: the shipped prices."""
    assert prices() == shipped()


def test_a_users_row_wins(own: Written) -> None:
    """Dearer or cheaper, of another spelling, at every number of GPUs; what it does not speak of stays."""
    path = own(f"{HEADER}\nrunpod,h100-80gb,1,on_demand,9.5,2026-11-20\nour lab,4090,2,on_demand,0.01,2026-11-20\n")
    known = prices()
    of_runpod = [o for n in (1, 8) for o in offers("H100-80GB", n, known) if o.provider.lower() == "runpod"]
    assert [(o.kind, o.usd_per_hour) for o in of_runpod if o.kind == "on_demand"] == [("on_demand", 9.5)]
    assert any(o.kind == "community" for o in of_runpod)
    first = offers("RTX 4090", 2, known)[0]
    assert (first.provider, first.usd_per_hour, first.source) == ("our lab", 0.01, str(path))
    assert offers("A100-40GB", 8, known) == offers("A100-40GB", 8)


def test_the_example_of_the_messages_is_a_price_list(own: Written) -> None:
    """What we tell people to write is right."""
    assert [row.gpu for row in read(own(EXAMPLE))] == ["GeForce RTX 4090"]


def test_our_own_list_passes_the_checks_of_a_users() -> None:
    """Cell by cell."""
    assert read(Path(str(files("finefit.catalog") / "prices.csv"))) == shipped()


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        (",4090,1,spot,1,2026-11-20", ["2: provider: is empty"]),
        ("x,RTX4091,1,spot,1,2026-11-20", ["2: gpu: unknown GPU 'RTX4091'", "did you mean GeForce RTX 4090"]),
        ("x,A100,1,spot,1,2026-11-20", ["2: gpu: 'A100' may be any of"]),
        ("x,4090,0,spot,1,2026-11-20", ["2: count: '0' is no number of GPUs"]),
        ("x,4090,1.5,spot,1,2026-11-20", ["2: count: '1.5' is no number of GPUs"]),
        ("x,4090,1,sport,1,2026-11-20", ["2: kind: unknown kind 'sport'", "did you mean 'spot'?"]),
        ("x,4090,1,spot,cheap,2026-11-20", ["2: usd_per_machine_hour: 'cheap' is no price", "US dollars per hour"]),
        ("x,4090,1,spot,-1,2026-11-20", ["2: usd_per_machine_hour: '-1' is no price"]),
        ("x,4090,1,spot,nan,2026-11-20", ["2: usd_per_machine_hour: 'nan' is no price"]),
        ("x,4090,1,spot,0,2026-11-20", ["2: usd_per_machine_hour: nothing is asked", "the kind is spot"]),
        ("x,4090,1,free,1,2026-11-20", ["2: usd_per_machine_hour: '1' is asked", "the kind is free"]),
        ("x,4090,1,spot,1,20.11.2026", ["2: date: '20.11.2026' is no date"]),
        ("x,4090,1,spot,1,2026-02-30", ["2: date: '2026-02-30' is no date"]),
        ("x,4090,1,spot,1,20261120", ["2: date: '20261120' is no date"]),
        ("x,4090,1,spot,1", ["2: 5 cells", "the first line names 6 columns"]),
        (
            "x,4091,many,sport,cheap,today",
            ["2: gpu: ", "2: count: ", "2: kind: ", "2: usd_per_machine_hour: ", "2: date: "],
        ),
        ('x,4090,1,spot,1,2026-11-20\n\nx,4090,1,spot,1,\n"a\nb",4090,1,spot,?,2026-11-20', ["4: date: ", "5: usd"]),
        ('"a\nb",4090,1,spot,1,2026-11-20\nx,4090,1,spot,1,', ["4: date: "]),
    ],
)
def test_a_broken_file_names_every_problem_by_line_and_column(own: Written, row: str, problems: list[str]) -> None:
    """All at once, each with what to try; nothing of the file counts."""
    path = own(f"{HEADER}\n{row}\n")
    with pytest.raises(BadInput) as caught:
        prices()
    message = str(caught.value)
    assert all(problem in message for problem in problems), message
    named = sum(problem.where.startswith(f"{path}:") for problem in caught.value.problems)
    assert named == len(caught.value.problems) == sum(problem[0].isdigit() for problem in problems)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["1: provider: this column is missing", "1: date: this column is missing"]),
        (f"{HEADER},up-to\n", ["1: up-to: unknown column", "did you mean 'up_to'?"]),
        (f"{HEADER},date\n", ["1: date: this column is there twice"]),
        (f"{HEADER},up_to\nx,4090,2,spot,1,2026-11-20,5\n", ["2: up_to: '5' is no number", "whole multiples"]),
        (f"{HEADER},confidence\nx,4090,1,spot,1,2026-11-20,hgh\n", ["2: confidence: unknown confidence 'hgh'"]),
        (f'{HEADER}\nx,4090,1,spot,1,"2026-11-20', []),
    ],
)
def test_a_wrong_head_or_a_wrong_choice_is_named_too(own: Written, text: str, problems: list[str]) -> None:
    """Columns that are missing, unknown or there twice; an open quotation mark is closed by the end of the file."""
    own(text)
    if not problems:
        assert len(prices()) > len(shipped())
        return
    with pytest.raises(BadInput) as caught:
        prices()
    assert all(problem in str(caught.value) for problem in problems), str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_said(own: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never taken for an empty one."""
    path = own("")
    path.write_bytes(b"provider\n\xff\n")
    with pytest.raises(BadInput, match=r"own\.csv:2: not UTF-8"):
        prices()
    monkeypatch.setenv("FINEFIT_PRICES", str(path.parent / "none.csv"))
    with pytest.raises(BadInput, match="cannot be read"):
        prices()


def test_what_was_kept_goes_before_ours_and_after_the_users(own: Written) -> None:
    """As it was, to the last cell; a file that cannot be read is as if it were not there."""
    aws = [row for row in shipped() if row.provider == "AWS"]
    keep(aws)
    assert kept() == tuple(aws)
    keep([row.__class__(**json.loads(json.dumps(vars(row))) | {"usd_per_machine_hour": 1.0}) for row in aws])
    assert {o.usd_per_hour for o in offers("H100-80GB", 8, prices()) if o.provider == "AWS"} == {1.0}
    own(f"{HEADER}\naws,h100-80gb,8,on_demand,2,2026-11-20\n")
    assert {o.usd_per_hour for o in offers("H100-80GB", 8, prices()) if o.provider.lower() == "aws"} == {2.0}
    kept_at().write_text("torn")
    assert kept() == ()
