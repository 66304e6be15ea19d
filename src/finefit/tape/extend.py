"""A few layers stand for many: exact extension over the number of repeated layers.

The peak of a whole run is not affine in the number of layers, because the fullest moment moves; but the peak of each
segment (the forward of the first block, the backward of the last, the optimizer ...) is. Two recordings with `a` and
`b` layers give every segment's peak at any number, and what is alive at it. The extension is refused where the two
recordings disagree: other segments, or another fullest moment inside a segment.

Measured: equal to the recording of all layers, to the byte (tests/worker/test_rehearsal.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finefit.nouns.recording import Recording

from .peaks import Moment, Segment, alive_at, moments, rounded

Kind = tuple[str, str, str, str]
"""(category, phase of birth, module with its layer's number as `*`, operation)."""


@dataclass(frozen=True)
class Held:
    """Storages of one kind that are alive at a moment."""

    nbytes: int
    count: int


@dataclass(frozen=True)
class Peak:
    """The fullest moment of one segment, at the asked number of layers."""

    label: str
    phase: str
    nbytes: int
    held: Mapping[Kind, Held]


def peaks_at(recordings: tuple[Recording, ...], layers: int, round_to: int) -> dict[str, Peak] | None:
    """Every segment's peak for a model of `layers` layers; None where two recordings do not extend.

    One recording must be of all layers itself. Segments of inner blocks are left out of an extension: their peaks lie
    between those of their neighbours.
    """
    if len(recordings) == 1:
        assert recordings[0].blocks == layers, "a single recording must have every layer"
        return _peaks(recordings[0], round_to)
    small, large = (_peaks(recording, round_to, drop_inner=True) for recording in recordings)
    a, b = (recording.blocks for recording in recordings)
    if small.keys() != large.keys():
        return None
    extended = {}
    for label, peak in small.items():
        other = large[label]
        if peak.held.keys() != other.held.keys():
            return None
        assert b > a, "recordings come with the fewer layers first"
        extended[label] = Peak(
            label,
            peak.phase,
            along(peak.nbytes, other.nbytes, a, b, layers),
            {
                kind: Held(
                    along(held.nbytes, other.held[kind].nbytes, a, b, layers),
                    along(held.count, other.held[kind].count, a, b, layers),
                )
                for kind, held in peak.held.items()
            },
        )
    return extended


def along(at_a: int, at_b: int, a: int, b: int, layers: int) -> int:
    """The value at `layers` of the line through (a, at_a) and (b, at_b); exact where the line is."""
    return at_a + (at_b - at_a) * (layers - a) // (b - a)


def _peaks(recording: Recording, round_to: int, drop_inner: bool = False) -> dict[str, Peak]:
    """By a label that counts blocks from the nearer end, the fullest of the segments that share it."""
    fullest: dict[str, tuple[Segment, Moment]] = {}
    for segment, moment in moments(recording, round_to):
        label = _from_the_ends(segment.label, recording.blocks)
        if label is None and drop_inner:
            continue
        label = label or segment.label
        if label not in fullest or moment.nbytes > fullest[label][1].nbytes:
            fullest[label] = (segment, moment)
    return {
        label: Peak(label, segment.phase, moment.nbytes, _held(recording, moment, round_to))
        for label, (segment, moment) in fullest.items()
    }


def _from_the_ends(label: str, blocks: int) -> str | None:
    """`1/0/backward/31` of 32 blocks becomes `1/0/backward/-1`; None for a block that is near no end."""
    step, micro, phase, *block = label.split("/")
    if not block:
        return label
    index = int(block[0])
    if index <= 1:
        return label
    if index >= blocks - 1:
        return f"{step}/{micro}/{phase}/{index - blocks}"
    return None


def _held(recording: Recording, moment: Moment, round_to: int) -> dict[Kind, Held]:
    sizes = rounded(recording, round_to)
    held: dict[Kind, Held] = {}
    for number in alive_at(recording, moment.position):
        kind = _without_layer(recording.kind_names[recording.kinds[number - 1]])
        before = held.get(kind, Held(0, 0))
        held[kind] = Held(before.nbytes + sizes[number - 1], before.count + 1)
    return held


def _without_layer(kind: Kind) -> Kind:
    category, phase, module, op = kind
    return category, phase, ".".join("*" if part.isdigit() else part for part in module.split(".")), op
