"""transformers reads a configuration from a file or a hub id; a bundled one is a dict.

Ends when `AutoConfig` takes a dict (transformers 5.23 has only the per-model `from_dict`).
"""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig


def config_from_dict(values: dict[str, Any]) -> PretrainedConfig:
    rest = {key: value for key, value in values.items() if key != "model_type"}
    return CONFIG_MAPPING[values["model_type"]].from_dict(rest)
