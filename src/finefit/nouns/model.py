"""The facts of a checkpoint that cost memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        for holder in (self.config.get("text_config") or {}, self.config):
            for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
                if isinstance(holder.get(key), int):
                    return int(holder[key])
        raise AssertionError(f"no layer count in the configuration of {self.id}")

    @property
    def hidden_size(self) -> int | None:
        for holder in (self.config.get("text_config") or {}, self.config):
            for key in ("hidden_size", "n_embd", "d_model"):
                if isinstance(holder.get(key), int):
                    return int(holder[key])
        return None

    @property
    def positions(self) -> int | None:
        """More tokens than these a sequence cannot have; None where positions are computed as they come. `n_positions`
        is the size of a table in transformers 5.23 (GPT-2, GPT-J, CodeGen, gpt_bigcode)."""
        found = self.config.get("n_positions")
        return found if isinstance(found, int) else None
