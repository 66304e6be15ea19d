"""A model that has a table of positions takes no longer sequence."""

from __future__ import annotations

import pytest

from finefit.errors import BadInput
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.search.choice import suited, usual_length
from finefit.tape.points import Free, crossed, first_points, further_points
from finefit.tape.sizes import Point
from finefit.tape.tape import Bounds, History, Tape
from finefit.world.models import find_model

EMPTY = Recording(1, (), (), (), (), (), (), 0, 0)
LEARNT, COMPUTED = Model("small", {"model_type": "gpt2", "n_positions": 128}), find_model("Qwen/Qwen2.5-0.5B")


@pytest.mark.parametrize(("model", "length"), [(LEARNT, 128), (COMPUTED, 200_000)])
def test_as_many_tokens_as_positions_are_taken(model: Model, length: int) -> None:
    assert suited(Knobs(max_length=length), model)[0].max_length == length


def test_one_token_more_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        suited(Knobs(max_length=129), LEARNT)
    (problem,) = refused.value.problems
    assert ("128 positions" in problem.what, problem.hint) == (True, "max_length: 128")


def test_where_none_is_said_a_model_that_has_few_takes_them_all() -> None:
    """And leaves room for an answer."""
    assert (usual_length(COMPUTED), usual_length(LEARNT), usual_length(LEARNT, beside=100)) == (2048, 128, 28)


@pytest.mark.parametrize("sequences", [1, 2])
def test_no_tape_is_recorded_beyond_them(sequences: int) -> None:
    """And yet with one, two and three chunks of tokens."""
    free, bounds = Free(0, sequences, most=LEARNT.positions), Bounds((), (512, 3072))
    points = [*first_points(bounds, free), *crossed(bounds, free)]
    assert all(point.length <= 128 for point in points)
    assert {point.chunks for point in crossed(bounds, free)} == {1, 2, 3}


def test_a_row_with_no_room_about_it_ends_the_search() -> None:
    """A history of one point that no other of its kind is near to: nothing more is asked for."""
    alone = History(EMPTY, "a", (), (Point(1, 59),), (), (), ((0,), (0,)))
    assert further_points(Tape((alone,), Bounds(), {}), Free(0, most=64)) == []
