"""What watches a training run from inside: the phases of a step, and the memory of each.

A `Stage` is told when a step begins, when forward, backward and optimizer start, which batch came, and when held-out
rows are evaluated. `RecordedStage` writes births and deaths down (in a rehearsal, and in one real step and one real
evaluation on a processor); a plain `Stage` does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from .quantized import hidden_tensors
from .recorder import ModuleNames, Recorder

RECORDED_STEPS = 2
"""The first optimizer step lacks the optimizer's state; the second is like all that follow."""


def blocks_of(model: Any) -> list[Any]:
    """The repeated layers of the language model that transformers can checkpoint, in its order.

    A vision tower has blocks of its own, which are not among them.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = base.get_decoder() or base
    return [module for module in decoder.modules() if isinstance(module, GradientCheckpointingLayer)]


class Stage:
    """Hears of every phase; this one does nothing with it."""

    def begin(self, trainer: Any) -> None:
        """Training starts: the model and the optimizer are in place."""

    def batches(self, batches: list[dict[str, Any]], items: Any) -> tuple[list[dict[str, Any]], Any]:
        """The micro-batches of one optimizer step, and how many tokens they train."""
        return batches, items

    def phase(self, name: str) -> None:
        """`forward`, `backward`, `optimizer` (clipping is its first part) or `resident` starts."""

    def end_step(self, trainer: Any) -> None:
        """An optimizer step is done and its gradients are gone."""

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """All that happens inside is evaluation."""
        yield

    def held_out(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch to evaluate on; the fullest one comes first."""
        return batch

    def close(self) -> None:
        """Training is over, or failed."""


class RecordedStage(Stage):
    """Records births and deaths during the first `RECORDED_STEPS` optimizer steps, and of the first batch that is
    evaluated after them: what is held beside it no longer grows.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.step = 0
        self.micro = -1
        self.evaluated = False
        self._open = False
        self._model: Any = None
        self._reference: Any = None
        # a frozen copy that a trainer of preferences asks; None where it has none
        self._trained: list[Any] = []
        self._names: ModuleNames | None = None
        self._hooks: list[Any] = []

    def begin(self, trainer: Any) -> None:
        self._model, self._reference = trainer.model, getattr(trainer, "ref_model", None)
        self._label("load")
        self._adopt(self._model)
        if self._reference is not None:
            self._adopt_reference(self._reference)
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self._start()

    def batches(self, batches: list[dict[str, Any]], items: Any) -> tuple[list[dict[str, Any]], Any]:
        if self._open:
            self.micro = -1
            self.phase("batch")
            self.recorder.adopt(_tensors(value for batch in batches for value in batch.values()), "batch")
        return batches, items

    def phase(self, name: str) -> None:
        if not self._open:
            return
        if name == "forward":
            self.micro += 1
        if name == "optimizer":
            self.recorder.classify([p.grad for p in self._trained if p.grad is not None], "gradient")
        self._label(name)

    def end_step(self, trainer: Any) -> None:
        if not self._open:
            return
        if self.step == 0:
            for parameter, values in trainer.optimizer.state.items():
                held = _tensors(values.values())
                self.recorder.classify(held, "optimizer")
                self.recorder.place(held, like=parameter)
        self.step += 1
        if self.step == RECORDED_STEPS:
            self.close()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        if self._open or self.evaluated or self.step < RECORDED_STEPS:
            yield
            return
        self.recorder.marks.pop()  # `end`: what died since belongs to the time between
        self.micro = 0
        self._label("evaluation")
        self._start()
        try:
            yield
        finally:
            self.close()

    def held_out(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._open and self.recorder.phase == "evaluation":
            if self.evaluated:
                self.close()
            else:
                self.evaluated = True
                self.recorder.adopt(_tensors(batch.values()), "batch")
        return batch

    def _start(self) -> None:
        self._names = ModuleNames(self.recorder, self._model, self._reference)
        self._watch_blocks(blocks_of(self._model))
        if self._reference is not None:
            self._watch_blocks(blocks_of(self._reference))
        self._watch_reference(self._model if self._reference is None else self._reference)
        self.recorder.__enter__()
        self._open = True

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self.recorder.__exit__(None, None, None)
        self.recorder.mark("end")
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self._names is not None:
            self._names.remove()

    def _adopt(self, model: Any) -> None:
        """What was there before: weights by their names, frozen ones first, each with the layer it belongs to."""
        inside = _inside(model)
        frozen = [p for p in model.parameters() if not p.requires_grad]
        trained = [p for p in model.parameters() if p.requires_grad]
        adopted = [
            *((tensor, "weight") for tensor in [*frozen, *hidden_tensors(model)]),
            *((tensor, "adapter" if frozen else "weight") for tensor in trained),
            *((tensor, "buffer") for tensor in model.buffers()),
        ]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for tensor, category in adopted:
            self.recorder.adopt([tensor], category, inside.get(id(tensor)), names.get(id(tensor), ""))

    def _adopt_reference(self, model: Any) -> None:
        """Beside the trained model, in its own category."""
        inside = _inside(model)
        for name, parameter in model.named_parameters():
            self.recorder.adopt([parameter], "reference", inside.get(id(parameter)), f"reference.{name}")
        for tensor in hidden_tensors(model):
            self.recorder.adopt([tensor], "reference", inside.get(id(tensor)))
        self.recorder.adopt(model.buffers(), "buffer")

    def _label(self, name: str, block: int | None = None) -> None:
        self.recorder.phase = name
        self.recorder.block = block
        place = "" if block is None else f"/{block}"
        self.recorder.mark(f"{self.step}/{max(self.micro, 0)}/{name}{place}")

    def _watch_blocks(self, blocks: list[Any]) -> None:
        """Marks where each repeated layer starts: forward, backward, asked as the reference, and evaluated."""
        last = len(blocks) - 1

        def before(index: int, block: Any, args: tuple[Any, ...]) -> None:
            phase = self.recorder.phase
            if phase not in ("forward", "reference", "evaluation"):
                return  # recomputed in backward
            self._label(phase, index)
            if phase == "forward" and block.gradient_checkpointing and args:
                self.recorder.classify([args[0]], "checkpoint")

        def after(index: int, result: Any) -> None:
            if self.recorder.phase in ("reference", "evaluation") and index == last:
                self._label(self.recorder.phase)
            if self.recorder.phase != "forward":
                return
            hidden = result[0] if isinstance(result, tuple) else result
            if hidden.requires_grad:
                hidden.register_hook(lambda _: self._label("backward", index))
            if index == last:
                self._label("loss")

        for index, block in enumerate(blocks):
            self._hooks.append(block.register_forward_pre_hook(lambda b, args, i=index: before(i, b, args)))
            self._hooks.append(block.register_forward_hook(lambda _b, _a, result, i=index: after(i, result)))

    def _watch_reference(self, model: Any) -> None:
        """A model that runs after the trained one has, before backward, is asked as the reference."""

        def before() -> None:
            if self.recorder.phase == "loss":
                self._label("reference")

        def after(said: Any) -> None:
            if self.recorder.phase == "reference":
                self.recorder.classify(_tensors(said.values()), "log_probs")
                self._label("loss")

        self._hooks.append(model.register_forward_pre_hook(lambda _m, _a: before()))
        self._hooks.append(model.register_forward_hook(lambda _m, _a, said: after(said)))


def _inside(model: Any) -> dict[int, int]:
    """The layer that each tensor of one belongs to."""
    parts = [(block, index) for index, block in enumerate(blocks_of(model))]
    return {id(t): index for block, index in parts for t in [*block.parameters(), *hidden_tensors(block)]}


def _tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    return [value for value in values if isinstance(value, torch.Tensor)]
