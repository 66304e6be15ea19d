"""The allocated peak of a tape at a point, in about a millisecond: for those who ask about thousands of points.

The recording of all layers is laid out once; equal segments (the same work of the same layer, step after step) are one.
At a point, each of them is walked once: how high it goes, and what it leaves behind. It equals `phase_peaks` of the
recording that `History.at` gives, in blocks of 512 bytes; the allocator's rests of blocks are not in it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from .expand import Name, storages_and_events
from .layers import Layers
from .micro_batches import RECORDED, with_micro_batches
from .peaks import CUDA_BLOCK_BYTES, segments
from .sizes import Point
from .tape import History

ANY: Name = (None, -1)
"""No storage's name: of those that do not grow with the layers, size is all that counts."""
Walk = tuple[int, ...]
"""The events of a segment: +c for a birth and -c for a death of a storage of column c, counted from 1."""


class Outline:
    """Of one history and a model's layers, with one or two micro-batches. Raises `ValueError` where the recorded ones
    do not stand for them."""

    def __init__(self, history: History, layers: Layers, micro_batches: int = RECORDED) -> None:
        self._history = history
        names = list(storages_and_events(history.few)[0])
        growing = {name for growth in history.growths for name in growth.nbytes}
        columns: dict[tuple[int, Name], int] = {}
        column_of = [
            columns.setdefault((row, name if name in growing else ANY), len(columns) + 1)
            for name, row in zip(names, history.row_of, strict=True)
        ]
        self._columns = list(columns)
        whole, times = history.laid_out(layers), history.times(layers)
        if whole is None or times is None:
            raise ValueError(f"{history.layers} do not stand for {layers}")
        self._times = times
        # sizes that are columns' numbers: what is laid out by them, is laid out for all sizes
        whole = replace(whole, nbytes=tuple(map(column_of.__getitem__, whole.nbytes)))
        whole = with_micro_batches(whole, min(micro_batches, RECORDED))
        walks: dict[Walk, int] = {}
        self._order: list[tuple[str, int]] = []
        for segment in segments(whole):
            events = whole.events[segment.start : segment.stop]
            walk = tuple(whole.nbytes[event - 1] if event > 0 else -whole.nbytes[-event - 1] for event in events)
            self._order.append((segment.phase, walks.setdefault(walk, len(walks))))
        self._walks = list(walks)

    def phase_peaks(self, point: Point) -> dict[str, int] | None:
        """Bytes of each phase, and of all as `peak`; None where the history has no sizes there."""
        changes = self._changes(point)
        if changes is None:
            return None
        walked = []
        for walk in self._walks:
            heights = [0, *accumulate(map(changes.__getitem__, walk))]
            walked.append((max(heights), heights[-1]))
        live = 0
        peaks: dict[str, int] = {}
        for phase, number in self._order:
            height, left = walked[number]
            peaks[phase] = max(peaks.get(phase, 0), live + height)
            live += left
        return {**peaks, "peak": max(peaks.values())}

    def _changes(self, point: Point) -> list[int] | None:
        """What a birth adds and a death takes, by column: the list is read from its end for deaths."""
        numbers = self._history.numbers(point)
        if numbers is None:
            return None
        growths = self._history.growths_at(numbers)
        sizes = [0]
        for row, name in self._columns:
            added = sum(more * growth.nbytes.get(name, 0) for more, growth in zip(self._times, growths, strict=True))
            sizes.append(-(-(numbers[row] + added) // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES)
        return [*sizes, *(-size for size in reversed(sizes[1:]))]
