"""The facts of a checkpoint that cost memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEARNT = ("biogpt", "gpt_neo", "opt")
"""Models whose `max_position_embeddings` is the size of a table in transformers 5.23, not what they were trained on."""


@dataclass(frozen=True)
class Model:
    id: str
    # as the user named it, or the hub id of a bundled configuration
    config: Mapping[str, Any]
    # the whole config.json
    folder: str | None = None
    # where weights and tokenizer lie, if they do
    source: str = ""
    # where the configuration was read
    pictures: Mapping[str, Any] = field(default_factory=dict)
    # what the folder says of how its processor reads images

    @property
    def layers(self) -> int:
        found = self._first("num_hidden_layers", "n_layer", "num_layers", "n_layers")
        assert found is not None, f"no layer count in the configuration of {self.id}"
        return found

    @property
    def hidden_size(self) -> int | None:
        return self._first("hidden_size", "n_embd", "d_model")

    @property
    def made_for(self) -> int | None:
        """Tokens of a sequence that it was trained on, as its configuration says."""
        found = self._first("max_position_embeddings")
        return found if found is not None and found > 0 else None

    @property
    def positions(self) -> int | None:
        """More tokens than these a sequence cannot have; None where positions are computed as they come. `n_positions`
        is the size of a table in transformers 5.23 (GPT-2, GPT-J, CodeGen, gpt_bigcode)."""
        return self._first("n_positions") or (self.made_for if self.config.get("model_type") in LEARNT else None)

    def _first(self, *keys: str) -> int | None:
        """Of the language model where it has a configuration of its own."""
        for holder in (self.config.get("text_config") or {}, self.config):
            for key in keys:
                if isinstance(holder.get(key), int):
                    return int(holder[key])
        return None
