"""How long a sequence a model can have, held against transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from finefit.nouns.model import LEARNT, Model

TINY = {
    "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 24, "num_layers": 1, "attention_types": [[["global"], 1]], "ffn_dim": 32,
    "word_embed_proj_dim": 16, "pad_token_id": 1,
}  # fmt: skip


def runs(model_type: str, length: int) -> bool:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **TINY))
    try:
        model(torch.full((1, length), 5))
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("model_type", [*LEARNT, "gpt2"])
def test_a_table_of_positions_is_as_long_as_is_said(model_type: str) -> None:
    """And one token more does not run."""
    words = {"n_positions": 24} if model_type == "gpt2" else {"max_position_embeddings": 24}
    assert Model("tiny", {"model_type": model_type, **words}).positions == 24
    assert runs(model_type, 24)
    assert not runs(model_type, 25)


def test_positions_that_are_computed_have_no_end() -> None:
    """Beyond those that it was trained on, too."""
    assert Model("tiny", {"model_type": "llama", "max_position_embeddings": 24}).positions is None
    assert runs("llama", 48)
