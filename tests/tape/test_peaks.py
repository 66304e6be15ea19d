"""Walking recordings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.recording import Recording
from finefit.tape.peaks import alive_at, moments, phase_peaks

KINDS = (("activation", "forward", "model.layers.3.mlp", "aten.mm.default"),)
PHASES = ("load", "batch", "forward", "backward", "optimizer", "resident")


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Any history: storages are born and some die, in order, with marks between."""
    sizes = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
    events: list[int] = []
    alive: list[int] = []
    for number in range(1, len(sizes) + 1):
        events.append(number)
        alive.append(number)
        while alive and draw(st.booleans()):
            events.append(-alive.pop(draw(st.integers(0, len(alive) - 1))))
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=5)))
    phases = draw(st.lists(st.sampled_from(PHASES), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    marks = [(cut, f"0/0/{phase}") for cut, phase in zip([0, *cuts], phases, strict=True)]
    return Recording(
        blocks=0,
        nbytes=tuple(sizes),
        kinds=(0,) * len(sizes),
        kind_names=KINDS,
        block_of=(None,) * len(sizes),
        events=tuple(events),
        marks=(*marks, (len(events), "end")),
        parameters=0,
        trainable_parameters=0,
    )


def highest(recording: Recording, round_to: int) -> int:
    """The peak, counted the plain way."""
    live, peak = 0, 0
    for event in recording.events:
        size = -(-recording.nbytes[abs(event) - 1] // round_to) * round_to
        live += size if event > 0 else -size
        peak = max(peak, live)
    return peak


@given(recordings(), st.sampled_from([1, 512]))
def test_the_peak_is_the_highest_of_the_phases_and_of_all_events(recording: Recording, round_to: int) -> None:
    """No moment lies above the peak, and the peak is the peak of one phase."""
    peaks = phase_peaks(recording, round_to)
    assert peaks["peak"] == highest(recording, round_to)
    assert peaks["peak"] == max(value for phase, value in peaks.items() if phase != "peak")


@given(recordings())
def test_what_is_alive_adds_up(recording: Recording) -> None:
    """The storages alive at a moment have, together, the bytes of the moment."""
    for _, moment in moments(recording):
        assert sum(recording.nbytes[n - 1] for n in alive_at(recording, moment.position)) == moment.nbytes


@given(recordings(), st.sampled_from([1, 512]))
def test_a_moment_is_the_first_fullest_of_its_segment(recording: Recording, round_to: int) -> None:
    """Nothing in the segment is above it, and nothing before it in the segment as high."""
    sizes = [0, *(-(-nbytes // round_to) * round_to for nbytes in recording.nbytes)]
    for segment, moment in moments(recording, round_to):
        lives = [
            (sum(sizes[number] for number in alive_at(recording, position)), position)
            for position in range(segment.start - 1, segment.stop)
        ]
        highest_bytes = max(nbytes for nbytes, _ in lives)
        first = next(position for nbytes, position in lives if nbytes == highest_bytes)
        assert (moment.nbytes, moment.position) == (highest_bytes, first)


@given(recordings())
def test_rounding_never_lowers(recording: Recording) -> None:
    """An allocator that rounds up never needs less."""
    assert phase_peaks(recording, 512)["peak"] >= phase_peaks(recording)["peak"]
