"""From what a rehearsal wrote down to the ledger of the asked recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.tape.extend import along, peaks_at
from finefit.tape.peaks import CUDA_BLOCK_BYTES

from .ledger import ledger_of
from .why import Shapes


def ledger_from(recordings: Sequence[Mapping[str, Any]], model: Model, knobs: Knobs, machine: Machine) -> Ledger | None:
    """None where recordings of a few layers do not extend to all: then every layer must be rehearsed."""
    tapes = tuple(Recording.from_json(recording) for recording in recordings)
    layers = tapes[0].blocks if len(tapes) == 1 else model.layers
    peaks = peaks_at(tapes, layers, 1 if machine.is_cpu else CUDA_BLOCK_BYTES)
    if peaks is None:
        return None
    return ledger_of(peaks, _shapes(tapes, layers, model, knobs))


def _shapes(tapes: tuple[Recording, ...], layers: int, model: Model, knobs: Knobs) -> Shapes:
    first, last = tapes[0], tapes[-1]

    def at_all_layers(small: int, large: int) -> int:
        return small if first is last else along(small, large, first.blocks, last.blocks, layers)

    text = model.config.get("text_config") or model.config
    return Shapes(
        parameters=at_all_layers(first.parameters, last.parameters),
        trainable_parameters=at_all_layers(first.trainable_parameters, last.trainable_parameters),
        micro_batch=knobs.per_device_train_batch_size,
        length=knobs.max_length,
        layers=layers,
        hidden=model.hidden_size,
        vocabulary=text.get("vocab_size", model.config.get("vocab_size")),
        weight_dtype=knobs.dtype,
        optim=knobs.optim,
    )
