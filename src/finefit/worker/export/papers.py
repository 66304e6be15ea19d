"""What stands beside the weights: the configuration, how answers end, the tokenizer with its template, licences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

OF_THE_MODEL = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "*.py",
)
OF_WHAT_IT_CAME_FROM = ("LICENSE*", "NOTICE*")
OF_THE_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "additional_chat_templates",
)


def write(origin: Path, base: Path, tuned: Path, folder: Path, dtype: str, ends: list[int]) -> None:
    """`origin`: the model that was fine-tuned; `base`: whose weights these are, which after full fine-tuning is
    `tuned` itself; `tuned`: where the tokenizer lies that was trained with. Files are copied byte for byte; the two
    that are not, config.json and generation_config.json, differ in the values that are named here."""
    _copy(origin, OF_WHAT_IT_CAME_FROM, folder)
    _copy(base, OF_THE_MODEL, folder)
    _copy(tuned, OF_THE_TOKENIZER, folder)
    _write(folder / "config.json", _with_dtype(json.loads((base / "config.json").read_text()), dtype))
    said = base / "generation_config.json"
    generation = json.loads(said.read_text()) if said.exists() else {}
    _write(folder / "generation_config.json", generation | {"eos_token_id": ends[0] if len(ends) == 1 else ends})


def _copy(source: Path, patterns: tuple[str, ...], folder: Path) -> None:
    for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copyfile(path, folder / path.name)


def _with_dtype(config: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Weights of one dtype, in every part of the model, and quantised no more."""
    kept = {key: value for key, value in config.items() if key not in ("quantization_config", "torch_dtype")}
    kept["dtype"] = dtype
    return {
        key: _with_dtype(value, dtype)
        if isinstance(value, dict) and ("dtype" in value or "torch_dtype" in value)
        else value
        for key, value in kept.items()
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
