"""What transformers (5.23) calls the modules of a model that are no layers of it."""

from __future__ import annotations

HEADS = ("lm_head", "embed_out")
EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embed_in", "word_embeddings", "embed_positions")
"""Of causal language models."""
TOWER = frozenset({"visual", "vision_tower", "vision_model", "connector", "multi_modal_projector"})
"""Those that see, and those that fit what they say to the language model."""
