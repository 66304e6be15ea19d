"""A configuration with fewer layers, so that a rehearsal of a few stands for many."""

from __future__ import annotations

from typing import Any


def keep_layers(config: Any, count: int) -> None:
    """Cuts the text model to its first `count` layers; lists with one entry a layer are cut alike."""
    text = config.get_text_config()
    before = text.num_hidden_layers
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == before:
            setattr(text, name, value[:count])
    text.num_hidden_layers = count
