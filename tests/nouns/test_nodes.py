"""What each machine of a run is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from finefit.errors import BadInput
from finefit.nouns.nodes import PORT, Nodes, nodes_of

TOLD = {"NNODES": "3", "NODE_RANK": "2", "MASTER_ADDR": "first"}


@given(count=some.integers(1, 9), each=some.integers(1, 9))
def test_every_rank_is_of_one_machine(count: int, each: int) -> None:
    shares = [Nodes(count, number).share(count * each) for number in range(count)]
    assert [rank for share in shares for rank in share] == list(range(count * each))
    assert {len(share) for share in shares} == {each}


@pytest.mark.parametrize("ranks", [1, 3, 7])
def test_what_does_not_divide_is_refused(ranks: int) -> None:
    with pytest.raises(BadInput, match=f"{ranks} are not divided by 2 machines"):
        Nodes(2).share(ranks)


@pytest.mark.parametrize("said", [{}, {"NNODES": "1"}, {"MASTER_ADDR": "elsewhere", "NODE_RANK": "0"}])
def test_one_machine_needs_no_words(said: dict[str, str]) -> None:
    assert nodes_of(said) == Nodes()


def test_words_are_torchruns() -> None:
    assert nodes_of(TOLD) == Nodes(3, 2, "first", PORT)
    assert nodes_of(TOLD | {"MASTER_PORT": "4711"}).port == 4711


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"NNODES": "two"}, ["NNODES"]),
        ({"NODE_RANK": "3"}, ["NODE_RANK"]),
        ({"NODE_RANK": "-1", "MASTER_ADDR": " "}, ["NODE_RANK", "MASTER_ADDR"]),
        ({"MASTER_PORT": "70000"}, ["MASTER_PORT"]),
    ],
)
def test_all_that_is_wrong_is_said(wrong: dict[str, str], where: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        nodes_of(TOLD | wrong)
    assert [problem.where for problem in refused.value.problems] == where
