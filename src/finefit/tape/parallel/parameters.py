"""The parameters of a recording, in the model's order, and the moments at which their gradients arrive."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from finefit.catalog.modules import EMBEDDINGS, HEADS
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Segment, segments, without_layer

PLAIN = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
"""Parameters that transformers' Trainer decays not (5.23, trainer.py: get_decay_parameter_names)."""


FIRST_GRADIENT = "aten.ones_like.default"
"""Of the loss itself: what autograd begins with."""


@dataclass(frozen=True)
class Parameter:
    storage: int
    # its number in the recording, from 1
    name: str
    # of a layer's, the number as `*`
    block: int | None
    nbytes: int
    elements: int
    is_trained: bool
    is_packed: bool
    # quantised: its bytes are its elements

    @property
    def decays(self) -> bool:
        return PLAIN.search(self.name.lower()) is None


def parameters_of(recording: Recording, width: int, *, of_copy: bool = False) -> tuple[Parameter, ...]:
    """Of the model, or of the frozen copy that it is compared with. `width`: bytes of one element of what is not
    packed. Frozen ones first, each kind in the model's order."""
    categories = ("reference",) if of_copy else ("weight", "adapter")
    trained = "adapter" if any(name[0] == "adapter" for name in recording.kind_names) else "weight"
    alike = [without_layer(name) for name in recording.kind_names]
    found = []
    for number, (kind, block) in enumerate(zip(recording.kinds, recording.block_of, strict=True), start=1):
        category, _, name, operation = (recording.kind_names if block is None else alike)[kind]
        if category not in categories or operation not in ("adopted", "packed"):
            continue
        nbytes, is_packed = recording.nbytes[number - 1], operation == "packed"
        elements = nbytes if is_packed else nbytes // width
        found.append(Parameter(number, name, block, nbytes, elements, category == trained, is_packed))
    return tuple(found)


@dataclass(frozen=True)
class Outside:
    """The parameters that belong to no layer. `head` is empty where it is tied: then it is the embedding."""

    embedding: tuple[Parameter, ...]
    head: tuple[Parameter, ...]
    rest: tuple[Parameter, ...]


def outside_of(parameters: Iterable[Parameter]) -> Outside:
    found = [one for one in parameters if one.block is None]
    head = tuple(one for one in found if _is_one_of(HEADS, one))
    embedding = tuple(one for one in found if _is_one_of(EMBEDDINGS, one))
    return Outside(embedding, head, tuple(one for one in found if one not in head and one not in embedding))


def _is_one_of(names: Iterable[str], parameter: Parameter) -> bool:
    return not set(names).isdisjoint(parameter.name.split("."))


def adapter_rows(parameters: Iterable[Parameter]) -> dict[int, int]:
    """The rows of every adapter's first matrix, by its storage: its rank, which the sizes of three matrices tell.

    Those are rank × in, out × rank and out × in. Of a quantised weight two elements share a byte, or none do: twice
    a square is no square, so one of both is the rank.
    """
    of: dict[tuple[str, int | None], dict[str, Parameter]] = defaultdict(dict)
    for one in parameters:
        module, _, part = one.name.partition(".lora_") if ".lora_" in one.name else one.name.rpartition(".base_layer.")
        if module and (part == "weight" or part.endswith(".weight")):
            of[module, one.block][part.split(".")[0]] = one
    return {three["A"].storage: _rank(three) for three in of.values() if three.keys() >= {"A", "B", "weight"}}


def _rank(three: Mapping[str, Parameter]) -> int:
    weight = three["weight"]
    product = three["A"].elements * three["B"].elements / weight.elements
    roots = [math.sqrt(product / each) for each in ((1, 2) if weight.is_packed else (1,))]
    root = min(roots, key=_off_a_whole_number)
    return round(root)


def _off_a_whole_number(root: float) -> float:
    return abs(root - round(root))


def groups_of(parameters: Iterable[Parameter]) -> tuple[tuple[Parameter, ...], ...]:
    """The optimizer's groups, as transformers' Trainer makes them: what decays, then what does not."""
    trained = [one for one in parameters if one.is_trained]
    groups = [tuple(one for one in trained if one.decays is decays) for decays in (True, False)]
    return tuple(group for group in groups if group)


@dataclass(frozen=True)
class Arrival:
    """A gradient, as the backward pass hands it over."""

    position: int
    # when its operation is over and what that dropped is gone: before the next birth
    storage: int
    parameter: Parameter


@dataclass(frozen=True)
class Backward:
    """The backward pass of one micro-batch."""

    start: int
    stop: int
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    backwards: tuple[Backward, ...]
    # one for each micro-batch
    start: int
    # of the optimizer's part
    stop: int
    graph: tuple[int, ...] = ()
    # storages that the loss's graph still holds after backward, until the loss itself is dropped


def steps_of(recording: Recording, parameters: Sequence[Parameter]) -> tuple[Step, ...]:
    by_step: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments(recording):
        by_step[segment.label.split("/")[0]].append(segment)
    return tuple(_step(recording, of, parameters) for of in by_step.values() if any(s.phase == "optimizer" for s in of))


def _step(recording: Recording, of: Sequence[Segment], parameters: Sequence[Parameter]) -> Step:
    optimizer = next(segment for segment in reversed(of) if segment.phase == "optimizer")
    micro: dict[str, list[Segment]] = defaultdict(list)
    for segment in of:
        if segment.phase == "backward":
            micro[segment.label.split("/")[1]].append(segment)
    first, *others = micro.values()
    found = _arrivals(recording, first, parameters)
    later = (Backward(of[0].start, of[-1].stop, _alike(recording, found, first, of)) for of in others)
    backwards = (Backward(first[0].start, first[-1].stop, found), *later)
    left = _left_in_graph(recording, [first, *others][-1][-1])
    arrived = {arrival.storage for backward in backwards for arrival in backward.arrivals}
    return Step(backwards, optimizer.start, optimizer.stop, tuple(one for one in left if one not in arrived))


def _left_in_graph(recording: Recording, last: Segment) -> tuple[int, ...]:
    """What dies after the gradient that backward began with: it is dropped as backward returns.

    So die inputs of layers that PEFT makes leaves (enable_input_require_grads), and what bitsandbytes' 8-bit product
    keeps on its node beside the saved tensors.
    """
    left: list[int] = []
    for event in reversed(recording.events[last.start : last.stop]):
        if event > 0:
            return ()
        if recording.kind_names[recording.kinds[-event - 1]][3] == FIRST_GRADIENT:
            return tuple(reversed(left))
        left.append(-event)
    return ()


def _arrivals(recording: Recording, of: Sequence[Segment], parameters: Sequence[Parameter]) -> tuple[Arrival, ...]:
    """Of the first micro-batch: its gradients stay. Each belongs to a parameter of its layer and size; of those that
    are alike, to the last, since backward goes the other way. What follows the first layer's backward, belongs to none.
    """
    alike: dict[tuple[int | None, int], list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        if parameter.is_trained:
            alike[parameter.block, parameter.nbytes].append(parameter)
    names = recording.kind_names
    found = []
    for position in range(of[0].start, of[-1].stop):
        number = recording.events[position]
        if number > 0 and names[recording.kinds[number - 1]][0] == "gradient":
            nbytes = recording.nbytes[number - 1]
            waiting = alike.get((recording.block_of[number - 1], nbytes)) or alike.get((None, nbytes))
            if waiting:
                found.append(Arrival(_over(recording, position, of[-1].stop), number, waiting.pop()))
    return tuple(found)


def _over(recording: Recording, position: int, stop: int) -> int:
    return next((later for later in range(position + 1, stop) if recording.events[later] > 0), stop)


def _alike(
    recording: Recording, found: Iterable[Arrival], first: Sequence[Segment], other: Sequence[Segment]
) -> tuple[Arrival, ...]:
    """The same gradients in a later micro-batch, which are added to those of the first: the births with the same number
    in the same layer."""
    births = [_births(recording, segment) for segment in first]
    later = {segment.label.split("/", 2)[2]: _births(recording, segment) for segment in other}
    places: dict[int, tuple[str, int]] = {}
    for segment, numbers in zip(first, births, strict=True):
        label = segment.label.split("/", 2)[2]
        places |= {number: (label, place) for place, (_, number) in enumerate(numbers)}
    arrivals = []
    for arrival in found:
        label, place = places[arrival.storage]
        there = later.get(label, [])
        if place < len(there):
            position, number = there[place]
            arrivals.append(Arrival(_over(recording, position, other[-1].stop), number, arrival.parameter))
    return tuple(arrivals)


def _births(recording: Recording, segment: Segment) -> list[tuple[int, int]]:
    events = recording.events
    return [(place, events[place]) for place in range(segment.start, segment.stop) if events[place] > 0]
