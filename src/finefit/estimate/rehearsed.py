"""From what a rehearsal wrote down to the recording of the whole model, and to its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.tape.expand import expand

from .ledger import ledger_of
from .reserved import serve
from .why import Shapes


def whole_recording(answers: Sequence[Mapping[str, Any]], groups: Sequence[int]) -> Recording | None:
    """Of all layers, `groups` of them checkpointed and kept; None where recordings of a few do not expand exactly: then
    every layer must be rehearsed.
    """
    few, *more = [Recording.from_json(answer) for answer in answers]
    return expand(few, more, groups) if more else few


def ledger_from(
    recording: Recording, model: Model, knobs: Knobs, machine: Machine, shorter: Recording | None = None
) -> Ledger:
    """`shorter`: the same step with rows of half the length, where it is known."""
    text = model.config.get("text_config") or model.config
    shapes = Shapes(
        parameters=recording.parameters,
        trainable_parameters=recording.trainable_parameters,
        micro_batch=knobs.per_device_train_batch_size,
        length=knobs.max_length,
        hidden=model.hidden_size,
        vocabulary=text.get("vocab_size", model.config.get("vocab_size")),
        weight_dtype=knobs.dtype,
        optim=knobs.optim,
    )
    served = None if machine.gpu is None else serve(recording, knobs, machine.gpu, shorter)
    return ledger_of(recording, shapes, served)
