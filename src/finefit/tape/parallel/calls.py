"""The modules that a step calls, in order, as ZeRO 3 hears of them: from the storages that were born in each.

A module is entered before the first storage born in it and left before the first born outside of it. Its ancestors are
entered with it. In backward the recomputed calls are seen likewise; the others go through the same modules from the
last to the first, and are over where their gradient arrives. Does not know: modules that make nothing new, and lists
of modules, which are never called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from typing import NamedTuple

from finefit.catalog.modules import HEADS, TOWER
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Segment, without_layer
from finefit.tape.rewrite import ENTERING, LEAVING, Place

from .parameters import Arrival

Path = tuple[str, ...]
PRODUCT = "aten.mm.default"


class Call(NamedTuple):
    place: Place
    path: Path
    is_entry: bool
    is_forward: bool = True


@dataclass
class _Walk:
    """The modules that run, and what is said of them."""

    calls: list[Call] = field(default_factory=list)
    stack: list[Path] = field(default_factory=list)

    def to(self, path: Path, position: int) -> None:
        while self.stack and self.stack[-1] != path[: len(self.stack[-1])]:
            self.calls.append(Call((position, LEAVING), self.stack.pop(), is_entry=False))
        for ancestor in _ancestors(path, self.stack[-1] if self.stack else None):
            self.stack.append(ancestor)
            self.calls.append(Call((position, ENTERING), ancestor, is_entry=True))

    def left(self, position: int, within: int = 0) -> list[Call]:
        """All that still run are over; `within`: but for so many of the outermost."""
        return [Call((position, LEAVING), path, is_entry=False) for path in reversed(self.stack[within:])]


def _ancestors(path: Path, known: Path | None) -> Iterator[Path]:
    """Modules on the way to a path, itself included, from the model on, which has the empty path."""
    for length in range(0 if known is None else len(known) + 1, len(path) + 1):
        if length == len(path) or not (path[length].isdigit() or (length and path[length - 1].startswith("lora_"))):
            yield path[:length]


def forward_calls(recording: Recording, of: Sequence[Segment]) -> list[Call]:
    """Of the segments of a forward pass; all modules are left at its end."""
    walk = _Walk()
    for segment in of:
        for position, path in _places(recording, segment):
            if path or walk.stack:
                walk.to(path, position)
    calls = [*walk.calls, *walk.left(of[-1].stop)]
    return [each for call in calls for each in (*_dropout(call), call)]


def _dropout(call: Call) -> Iterator[Call]:
    """Before an adapter's first matrix PEFT calls its dropout, which makes nothing new where its share is 0."""
    if call.is_entry and call.path[-2:-1] == ("lora_A",):
        path = (*call.path[:-2], "lora_dropout", call.path[-1])
        yield from (call._replace(path=path), call._replace(path=path, is_entry=False))


def with_gradient(forward: Sequence[Call], trained: Collection[Path]) -> list[Call]:
    """Without the modules that no gradient reaches: a tower of which nothing is trained, and those that were left
    before the first trained one was entered."""
    is_trained = any(map(is_of_tower, trained))
    calls = [call for call in forward if is_trained or not is_of_tower(call.path)]
    first = next((n for n, call in enumerate(calls) if call.is_entry and call.path in trained), 0)
    early = {call.path for call in calls[:first] if not call.is_entry}
    return [call for call in calls if call.path not in early]


def is_of_tower(path: Path) -> bool:
    return not TOWER.isdisjoint(path)


def backward_calls(
    recording: Recording,
    of: Sequence[Segment],
    forward: Iterable[Call],
    arrivals: Iterable[Arrival],
    layers: Mapping[Path, int],
) -> Iterator[Call]:
    """Of the segments of a backward pass: first what belongs to no layer, then layer after layer. `layers`: as
    `language_layers` has them.

    A module is over where the gradient of its weight arrives; a head begins after the loss, where its own product is.
    """
    weights = ((arrival.parameter, arrival.position) for arrival in arrivals)
    known = {(path_of(one.name, one.block)[:-1], False): position for one, position in weights}
    waiting = [Call(call.place, call.path, not call.is_entry, is_forward=False) for call in reversed(list(forward))]
    product = first_product(recording, of[0])
    for path in {call.path for call in waiting if call.path[-1:] and call.path[-1] in HEADS}:
        known = {(path, True): product, (path, False): product + 1} | known
    for segment in of:
        again = _recomputed(recording, segment)
        mine = _those_before(waiting, _block(segment), layers)
        waiting = waiting[len(mine) :]
        yield from _in_turn(mine, segment, again, known)
    yield from (call._replace(place=(of[-1].stop, LEAVING)) for call in waiting)


def first_product(recording: Recording, segment: Segment) -> int:
    """Where the head's own backward begins, in what belongs to no layer; its start where there is no product."""
    for position in range(segment.start, segment.stop):
        number = recording.events[position]
        if number > 0 and recording.kind_names[recording.kinds[number - 1]][3] == PRODUCT:
            return position
    return segment.start


def _in_turn(
    mine: Sequence[Call], segment: Segment, again: Mapping[Path, Sequence[Call]], known: Mapping[tuple[Path, bool], int]
) -> Iterator[Call]:
    """`again`: the recomputed calls of layers; `known`: no call is entered, or over, before this."""
    position = segment.start
    for call in mine:
        position = max(position, min(known.get((call.path, call.is_entry), position), segment.stop))
        place = (position, ENTERING if position < segment.stop else LEAVING)
        yield Call(place, call.path, call.is_entry, call.is_forward)
        if call.is_entry and call.path in again:  # the layer itself is entered, then it is recomputed
            yield from again[call.path]
            position = max(position, again[call.path][-1].place[0])


def _recomputed(recording: Recording, segment: Segment) -> dict[Path, list[Call]]:
    """By their layers, those of a tower among them."""
    walks: dict[Path, _Walk] = {}
    last: dict[Path, int] = {}
    for position, path in _places(recording, segment):
        if path:
            layer = _layer(path)
            walks.setdefault(layer, _Walk(stack=[layer])).to(path, position)
            last[layer] = position
    return {layer: [*walk.calls, *walk.left(last[layer] + 1, within=1)] for layer, walk in walks.items()}


def _places(recording: Recording, segment: Segment) -> Iterator[tuple[int, Path]]:
    """Births, and the modules they are in: the model itself where they are in none of its parts."""
    names = recording.kind_names
    for position in range(segment.start, segment.stop):
        number = recording.events[position]
        if number > 0:
            module = names[recording.kinds[number - 1]][2]
            yield position, path_of(module, recording.block_of[number - 1]) if module else ()


@cache
def path_of(name: str, block: int | None) -> Path:
    generic = without_layer(("", "", name, ""))[2]
    return tuple(generic.replace("*", str(block), 1).split(".")) if block is not None else tuple(name.split("."))


def _layer(path: Path) -> Path:
    return next((path[: end + 1] for end, part in enumerate(path) if part.isdigit()), path)


def _block(segment: Segment) -> int | None:
    parts = segment.label.split("/")
    return int(parts[3]) if len(parts) > 3 else None


def language_layers(recording: Recording) -> Mapping[Path, int]:
    """Those of the language model, by their paths: a tower's blocks have numbers, too."""
    names, kinds = recording.kind_names, set(zip(recording.kinds, recording.block_of, strict=True))
    of = [(names[kind][2], block) for kind, block in kinds if names[kind][2] and block is not None]
    return {_layer(path_of(name, block)): block for name, block in of}


def _those_before(calls: Sequence[Call], block: int | None, layers: Mapping[Path, int]) -> list[Call]:
    """Before the first of another layer than the one that runs."""
    numbers = ((call, layers.get(_layer(call.path), block)) for call in calls)
    return [call for call, _ in takewhile(lambda each: each[1] == block, numbers)]
