"""What ZeRO 3 gathers in a step: its coordinator, led through the modules that the recording calls.

deepspeed 0.19  runtime/zero/parameter_offload.py
    _start_of_forward_hook   each forward pass of the model begins anew: so does that of a reference which is the
                             model with its adapters off, and backward follows the policy's
trl 1.16        models/utils.py: prepare_deepspeed: a frozen copy has an engine of its own, without an optimizer
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from finefit.catalog.modules import HEADS
from finefit.nouns.engine import DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Segment, segments
from finefit.tape.rewrite import ENTERING, LEAVING, Place, Rewrite

from . import states as kinds
from .calls import Call, Path, backward_calls, first_product, forward_calls, language_layers, path_of, with_gradient
from .coordinator import Coordinator, Partitioned
from .parameters import Backward, Parameter, Step, outside_of

PASSES = ("forward", "reference", "backward")


def is_persistent(parameter: Parameter, engine: DeepSpeed) -> bool:
    """Whether it stays once it was gathered."""
    return parameter.elements <= engine.buckets.stage3_param_persistence_threshold


class Gathered:
    """The parameters of one model behind their coordinator: what it gathers is born and dies at `place`.

    `on_nodes`: those that bitsandbytes' nodes hold, where they are gathered while `has_nodes`, to the step's end.
    """

    def __init__(
        self,
        rewrite: Rewrite,
        engine: DeepSpeed,
        parameters: Sequence[Parameter],
        width: int,
        on_nodes: frozenset[int] = frozenset(),
    ) -> None:
        self.place: Place = (0, LEAVING)
        self.has_nodes = False
        self._rewrite, self._on_nodes = rewrite, on_nodes
        self._of_path: dict[Path, list[int]] = defaultdict(list)
        for number, one in enumerate(parameters):
            self._of_path[path_of(one.name, one.block)[:-1]].append(number)
        self._outside = outside_of(parameters)
        self._packed: set[int] = set()
        # storages of these
        self._held: list[int] = []
        # of these, those that were released since
        self.coordinator = Coordinator(_partitioned(engine, parameters, width), engine.ranks, engine.buckets, self)

    def born(self, nbytes: int, parameter: int | None = None) -> int:
        number = self._rewrite.born(self.place, nbytes, kinds.GATHERED)
        if parameter in self._on_nodes and self.has_nodes:
            self._packed.add(number)
        return number

    def dies(self, number: int) -> None:
        if number in self._packed:
            self._held.append(number)
        else:
            self._rewrite.dies(number, self.place)

    def forward(self, calls: Sequence[Call], *, has_nodes: bool) -> Mapping[Path, list[int]]:
        """What each of its modules asked for."""
        self.place, self.has_nodes = calls[0].place, has_nodes
        self.coordinator.reset()
        needs = self._needs({call.path for call in calls})
        self.go(calls, needs)
        self.has_nodes = False
        return needs

    def go(self, calls: Iterable[Call], needs: Mapping[Path, Sequence[int]]) -> None:
        for call in calls:
            self.place = call.place
            say = self.coordinator.fetch if call.is_entry else self.coordinator.release
            say(call.path, needs.get(call.path, ()), is_forward=call.is_forward)

    def step(self, step: Step) -> None:
        self.place = (step.start, ENTERING)
        self.coordinator.drop_all()
        self.place = (step.stop, LEAVING)
        self.coordinator.keep()
        for held in self._held:
            self._rewrite.dies(held, self.place)
        self._held.clear()

    def _needs(self, called: Container[Path]) -> dict[Path, list[int]]:
        """What each module asks for: its own parameters, and those of its parts that it reads itself. So a head whose
        loss is fused is never called, and an adapted layer reads its adapter's dtype. A tied head has its weight from
        the embedding."""
        needs = defaultdict(list, {path: list(numbers) for path, numbers in self._of_path.items()})
        for path, numbers in self._of_path.items():
            if path not in called:
                needs[path[:-1]] += numbers
            elif path[-2:-1] == ("lora_A",):
                needs[path[:-2]] += numbers
        for one in () if self._outside.head else self._outside.embedding[:1]:
            path = path_of(one.name, None)[:-1]
            model = path[:-2]
            heads = [head for name in HEADS if (head := (*model, name)) in called]
            needs[heads[0] if heads else model] += self._of_path[path]
        return needs


def _partitioned(engine: DeepSpeed, parameters: Iterable[Parameter], width: int) -> Iterator[Partitioned]:
    for number, one in enumerate(parameters):
        stays, is_frozen = is_persistent(one, engine), not one.is_trained
        is_offloaded = engine.offload == "all" and not (stays and is_frozen)
        yield Partitioned(number, one.elements, 1 if one.is_packed else width, stays, is_frozen, is_offloaded)


class Gathers:
    """Of every step: the model's, and those of a frozen copy beside it, where there is one."""

    def __init__(
        self,
        recording: Recording,
        rewrite: Rewrite,
        engine: DeepSpeed,
        parameters: Sequence[Parameter],
        copied: Sequence[Parameter],
        width: int,
    ) -> None:
        self._recording, self._rewrite, self._engine, self._width = recording, rewrite, engine, width
        self._outside, self._layers = outside_of(parameters), language_layers(recording)
        self._trained = {path_of(one.name, one.block)[:-1] for one in parameters if one.is_trained}
        self._is_recomputed = any(name[0] == "checkpoint" for name in recording.kind_names)
        # then the outputs of embeddings have a gradient too, a tower's among them: enable_input_require_grads
        self._model = Gathered(rewrite, engine, parameters, width, frozenset(_on_nodes(recording, parameters, width)))
        self._copy = Gathered(rewrite, engine, copied, width) if copied else None
        self._by_step: dict[str, list[Segment]] = defaultdict(list)
        for segment in segments(recording):
            self._by_step[segment.label.split("/")[0]].append(segment)

    def follow(self, number: int, step: Step) -> None:
        of = self._by_step[str(number)]
        for micro, backward in enumerate(step.backwards):
            self._pass(
                [each for each in of if each.label.split("/")[1] == str(micro) and each.phase in PASSES], backward
            )
        self._model.step(step)

    def _pass(self, of: Sequence[Segment], backward: Backward) -> None:
        forward = forward_calls(self._recording, list(takewhile(lambda each: each.phase == "forward", of)))
        reference = [segment for segment in of if segment.phase == "reference"]
        back = [segment for segment in of if segment.phase == "backward"]
        needs = self._model.forward(forward, has_nodes=True)
        if self._engine.ranks == 1 and of[0].label.startswith("0/0/"):
            self._copied_once(of, {call.path for call in forward})
        if reference:
            (self._copy or self._model).forward(forward_calls(self._recording, reference), has_nodes=False)
        self._heads_input_stays(of, back[0])
        again = forward if self._is_recomputed else with_gradient(forward, self._trained)
        self._model.go(backward_calls(self._recording, back, again, backward.arrivals, self._layers), needs)
        self._model.place = (back[-1].stop, LEAVING)
        self._model.coordinator.leave()

    def _copied_once(self, of: Sequence[Segment], called: Iterable[Path]) -> None:
        """One rank alone has views of what it fetches. What the loss reads itself is not fetched the first time, but
        gathered, into a copy (parameter_offload.py: ZeROOrderedDict.__getitem__)."""
        if any(path[-1:] == (name,) for path in called for name in HEADS):
            return
        loss = next(segment for segment in of if segment.label.split("/")[2] == "loss")
        for one in (self._outside.head or self._outside.embedding)[:1]:
            number = self._rewrite.born((loss.start, ENTERING), self._width * one.elements, kinds.GATHERED)
            self._rewrite.dies(number, (loss.stop, LEAVING))

    def _heads_input_stays(self, of: Sequence[Segment], back: Segment) -> None:
        """Until the head's own backward, though a frozen head does not need it: every product keeps its input
        (linear.py: LinearFunctionForZeroStage3)."""
        recording = self._recording
        loss = next(segment for segment in of if segment.label.split("/")[2] == "loss")
        events = recording.events[loss.start : loss.stop]
        head = next((place for place, event in enumerate(events) if event > 0 and _is_heads(recording, event)), None)
        if head is None:
            return
        read = next((event for event in reversed(events[:head]) if event > 0), None)
        if read is not None and -read in events:
            self._rewrite.dies(read, (first_product(recording, back) + 1, ENTERING))


def _is_heads(recording: Recording, number: int) -> bool:
    return recording.kind_names[recording.kinds[number - 1]][2].rpartition(".")[2] in HEADS


def _on_nodes(recording: Recording, parameters: Sequence[Parameter], width: int) -> Iterator[int]:
    """The 4-bit weights that backward makes whole again, as many of a layer's last ones as it makes: bitsandbytes keeps
    the packed weight on its autograd node, and not as a saved tensor, where the input needs a gradient.

    bitsandbytes 0.50  autograd/_functions.py: MatMul4Bit.forward (ctx.tensors)
    """
    whole: Counter[tuple[int | None, int]] = Counter()
    for segment in segments(recording):
        if segment.phase == "backward" and segment.label.startswith("0/0/"):
            for event in recording.events[segment.start : segment.stop]:
                if event > 0 and "dequantize_4bit" in recording.kind_names[recording.kinds[event - 1]][3]:
                    whole[recording.block_of[event - 1], recording.nbytes[event - 1]] += 1
    for number, one in reversed(list(enumerate(parameters))):
        made = one.block, 2 * width * one.nbytes  # of two weights in a byte
        if one.is_packed and whole[made]:
            whole[made] -= 1
            yield number
