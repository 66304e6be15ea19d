"""What a rehearsal or a real step wrote down: births and deaths of storages, as columns.

`events[i]` is +n for the birth and -n for the death of storage n (counted from 1).
`marks[k]` is (position in events, label); a label is `step/micro/phase`, or `step/micro/phase/block` while a repeated
layer runs, counted from 0 in the order of the model: `1/0/backward/7`. Phases: load, batch, forward, reference, loss,
backward, optimizer, resident, evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recording:
    blocks: int
    # how many repeated layers the recorded model has
    nbytes: tuple[int, ...]
    kinds: tuple[int, ...]
    # per storage, an index into `kind_names`
    kind_names: tuple[tuple[str, str, str, str], ...]
    # (category, phase of birth, module, operation); of a weight, its own name in the place of a module's
    block_of: tuple[int | None, ...]
    # per storage, the repeated layer that it belongs to
    events: tuple[int, ...]
    marks: tuple[tuple[int, str], ...]
    parameters: int
    trainable_parameters: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recording:
        return cls(
            blocks=data["blocks"],
            nbytes=tuple(data["nbytes"]),
            kinds=tuple(data["kinds"]),
            kind_names=tuple(tuple(name) for name in data["kind_names"]),
            block_of=tuple(data["block_of"]),
            events=tuple(data["events"]),
            marks=tuple((position, label) for position, label in data["marks"]),
            parameters=data["parameters"],
            trainable_parameters=data["trainable_parameters"],
        )
