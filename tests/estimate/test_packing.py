"""The time of rows that share a sequence."""

from __future__ import annotations

from finefit.catalog.rates import rates_of
from finefit.estimate.pace.attention import attentions_of
from finefit.estimate.pace.setup import Setup
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model

from ..conftest import CONFIG


def operations(knobs: Knobs) -> float:
    setup = Setup(Model("small", CONFIG), LoRA(), knobs, rates_of("A100 SXM4 80GB"))
    [attention] = attentions_of({}, setup, CONFIG["num_hidden_layers"])
    return attention.operations


def test_every_token_of_a_packed_micro_batch_is_attended_with_every_other() -> None:
    """So its attention grows with the square of rows, as that of one long row does; that of padded rows with them."""
    padded, packed = (Knobs(512, 4, packing=packing) for packing in (False, True))
    assert operations(packed) == 4 * operations(padded) == operations(Knobs(2048, 1))
    assert (packed.sequences, packed.length) == (1, 2048)
    assert (padded.sequences, padded.length) == (4, 512)
