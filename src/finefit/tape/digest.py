"""What a search asks of a recording, in a few hundred numbers: how high each part of the step goes, what is born in it,
and what was loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from finefit.nouns.recording import Recording

from .born import Born, born
from .peaks import CUDA_BLOCK_BYTES, Kind, moments, without_layer

Height = tuple[str, int]
"""A segment's label, and the most bytes that are alive in it, in blocks of CUDA's allocator."""
Loaded = tuple[Kind, int, int]
"""Of weights and adapters: their kind, the bytes of one, and how many there are."""


class Digest(Protocol):
    @property
    def heights(self) -> Sequence[Height]:
        """In the order of time."""

    @property
    def born(self) -> Mapping[str, Born]:
        """Of each micro-batch by its number, and of the optimizer's step."""

    @property
    def loaded(self) -> Sequence[Loaded]: ...

    @property
    def trained(self) -> int:
        """Parameters."""

    @property
    def recording(self) -> Recording: ...


def is_loaded(kind: Kind) -> bool:
    return kind[0] in ("weight", "adapter") and kind[1] == "load"


@dataclass(frozen=True)
class Read:
    """Of a recording that is at hand."""

    recording: Recording

    @cached_property
    def heights(self) -> Sequence[Height]:
        return [(segment.label, moment.nbytes) for segment, moment in moments(self.recording, CUDA_BLOCK_BYTES)]

    @cached_property
    def born(self) -> Mapping[str, Born]:
        return born(self.recording)

    @cached_property
    def loaded(self) -> Sequence[Loaded]:
        names = [without_layer(name) for name in self.recording.kind_names]
        counts = Counter(zip(self.recording.kinds, self.recording.nbytes, strict=True))
        return [(names[kind], nbytes, count) for (kind, nbytes), count in counts.items() if is_loaded(names[kind])]

    @property
    def trained(self) -> int:
        return self.recording.trainable_parameters
