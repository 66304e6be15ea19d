"""What watches a model that writes, from inside: reading the prompt, every token after it, and the layers of each.

Knows: a step begins where `generate` prepares the inputs of a forward pass, so that choosing the token before belongs
to the step before (transformers 5.23, generation/utils.py, `_sample` and `_beam_search`). Of the cache, which storages
are a layer's own, also where beams put them in another order.
Does not know: what ends an answer early, and what happens after its last token, when all of it is let go.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from .recorder import Recorder
from .stage import RecordedStage, blocks_of

STATE_DIMENSIONS = 3
"""Of a cache's keys, values and states, at least: its own counters and scales have fewer."""


class Enough(Exception):
    """As many tokens are written as were asked for."""


class GenerationStage(RecordedStage):
    """Records births and deaths of one call of `generate`."""

    def __init__(self, recorder: Recorder, model: Any, steps: int | None = None) -> None:
        """`steps`: after so many `Enough` is raised, the prompt not counted; None: never."""
        super().__init__(recorder)
        self._model = model
        self._steps = steps
        self._forwards = 0
        self._cache: Any = None

    def open(self, prompt: Iterable[torch.Tensor]) -> None:
        self._label("load")
        self._adopt(self._model)
        self._label("prefill")
        self.recorder.adopt(prompt, "batch")
        self._watch_steps()
        self._start()

    def _watch_steps(self) -> None:
        writer = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        prepare = writer.prepare_inputs_for_generation

        @functools.wraps(prepare)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            self._step_begins()
            return prepare(*args, **kwargs)

        writer.prepare_inputs_for_generation = prepared

    def _step_begins(self) -> None:
        if self._steps is not None and self._forwards > self._steps:
            raise Enough
        self.step = self._forwards
        self._forwards += 1
        if self.step:
            self._label("decode")

    def _watch_blocks(self, blocks: list[Any]) -> None:
        last = len(blocks) - 1

        def before(index: int, kwargs: dict[str, Any]) -> None:
            if self._cache is None:
                self._meet(kwargs.get("past_key_values"))
            self._label(self.recorder.phase, index)

        def after(index: int) -> None:
            self._keeps(index)
            if index == last:
                self._label(self.recorder.phase)

        for index, block in enumerate(blocks):
            hooks = (
                block.register_forward_pre_hook(lambda _b, _a, kwargs, i=index: before(i, kwargs), with_kwargs=True),
                block.register_forward_hook(lambda _b, _a, _r, i=index: after(i)),
            )
            self._hooks.extend(hooks)

    def _meet(self, cache: Any) -> None:
        """What a cache holds of a layer before it is filled, belongs to that layer."""
        self._cache = cache
        layers = list(getattr(cache, "layers", ()))
        for index, (layer, block) in enumerate(zip(layers, blocks_of(self._model), strict=False)):
            self.recorder.place(_tensors_of(layer), like=next(block.parameters()))
            layer.reorder_cache = self._reordered(layer.reorder_cache, index, is_last=index == len(layers) - 1)

    def _reordered(self, reorder: Any, index: int, is_last: bool) -> Any:
        def reordered(beams: Any) -> None:
            self._label(self.recorder.phase, index)
            reorder(beams)
            self._keeps(index)
            if is_last:
                self._label(self.recorder.phase)

        return reordered

    def _keeps(self, index: int) -> None:
        layers = getattr(self._cache, "layers", ())
        if index < len(layers):
            states = (tensor for tensor in _tensors_of(layers[index]) if tensor.dim() >= STATE_DIMENSIONS)
            self.recorder.classify(states, "cache")


def _tensors_of(layer: Any) -> Iterator[torch.Tensor]:
    for value in vars(layer).values():
        yield from (each for each in (value if isinstance(value, tuple) else (value,)) if torch.is_tensor(each))
