"""On a GPU transformers decodes a mixture of experts otherwise than it reads the prompt: the weights of the experts
that each token has chosen are copied, and multiplied by (`batched_mm`).

Source: transformers 5.23, generation/utils.py, `_optimize_model_for_decode`, which asks for the model's device; the
copies are in integrations/moe.py, `batched_mm_experts_forward`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationMixin

NAME = "_optimize_model_for_decode"


def answers() -> list[Any]:
    return [(GenerationMixin, NAME, _decoding)] if hasattr(GenerationMixin, NAME) else []


@contextmanager
def _decoding(model: Any) -> Iterator[None]:
    before = model.get_experts_implementation()
    if "grouped_mm" not in before.values():
        yield
        return
    model.set_experts_implementation(
        {part: "batched_mm" if how == "grouped_mm" else how for part, how in before.items()}
    )
    try:
        yield
    finally:
        model.set_experts_implementation(before)
