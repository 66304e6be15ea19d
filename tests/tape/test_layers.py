"""Which recorded layer stands for which of the whole model."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from finefit.tape.layers import LONGEST_PERIOD, few_of, kept_of, neighbourhoods, sources, times


@st.composite
def models(draw: st.DrawFn) -> str:
    """Layers that repeat themselves, perhaps after and before some of their own, the first ones checkpointed."""
    unit = draw(st.text("ab", min_size=1, max_size=LONGEST_PERIOD))
    first, last = draw(st.text("cd", max_size=2)), draw(st.text("ef", max_size=2))
    body = (unit * 80)[: draw(st.integers(1, 80))]
    layers = first + body + last
    count = draw(st.integers(0, len(layers)))
    return layers[:count].upper() + layers[count:]


def unit_of(few: str, more: str) -> str:
    return "".join((Counter(more) - Counter(few)).elements())


@given(models())
@example("A" * 12 + "a" * 4)
@example("AABAABAabaabaabaa")
@example(("aaaaab" * 11)[:62])
@example(("aaaaab" * 11)[:34])
def test_a_few_show_every_layer(whole: str) -> None:
    """Whatever is recorded has a layer with the same neighbours for each of the whole model's, also for each proof's,
    which is the first of its kind where that one is, and only there; and is made the whole by adding units."""
    recorded = [kept_of(whole, kept) for kept in few_of(whole)]
    if not recorded:
        return
    few, *proofs = recorded
    assert len(few) < len(whole)
    for longer in (whole, *proofs):
        found = sources(few, longer)
        assert found is not None
        here = neighbourhoods(few)
        assert [here[block] for block in found] == neighbourhoods(longer)
        assert [few[block] in few[:block] for block in found] == [
            letter in longer[:place] for place, letter in enumerate(longer)
        ]
    units = [unit_of(few, proof) for proof in proofs]
    count = times(few, whole, units)
    assert count is not None
    expected = Counter(few)
    for unit, number in zip(units, count, strict=True):
        for letter, each in Counter(unit).items():
            expected[letter] += number * each
    assert expected == Counter(whole)


@given(models())
def test_every_layer_stands_for_itself(layers: str) -> None:
    assert sources(layers, layers) == tuple(range(len(layers)))


def test_known_models_are_recorded_by_so_many_layers() -> None:
    """One kind: five. Every sixth of another: two turns and what is left over, 14 of 62, or three where the second turn
    ends the model. The first ones checkpointed: five of each."""
    for whole, few in {
        "a" * 32: "aaaaa",
        "A" * 8 + "a" * 24: "AAAAAaaaaa",
        "AA" + "a" * 30: "AAaaaaa",
        ("aaaaab" * 11)[:62]: "aaaaabaaaaabaa",
        "aaaaab" * 8: "aaaaabaaaaabaaaaab",
        "ab" * 13: "ababab",
        "a" + "b" * 27: "abbbbb",
    }.items():
        assert kept_of(whole, few_of(whole)[0]) == few


def test_what_repeats_nothing_is_recorded_whole() -> None:
    assert few_of("abcdefghijklmnopqrstuvwxyz") == ()


def test_what_was_not_recorded_is_not_answered() -> None:
    """A layer of another kind, or a number of layers that no units make."""
    assert sources("aaaaa", "aaabaaaa") is None
    assert times("ababab", "abababa", ["ab"]) is None
