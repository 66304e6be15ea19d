"""The weights of a checkpoint, one at a time, as the trained model had them.

A weight that bitsandbytes quantised while it was loaded is quantised again by bitsandbytes and dequantised by it: what
was trained saw these numbers. So they are wherever the adapter is measured against them: merging onto the original ones
is thirty times further from the trained model (mean difference of logits of a small model: 0.0060 against 0.0002).

Knows: safetensors in one file or with an index; names that transformers changes as it loads (5.23, its own functions);
bitsandbytes in 4 and 8 bits, quantised at loading or in the checkpoint. Does not know other quantisation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from ..quantized import is_quantized

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True)
class Stored:
    """One weight of a checkpoint."""

    key: str
    # in its file
    name: str
    # in the model
    file: Path
    shape: tuple[int, ...]
    # of the weight itself, also where it lies packed
    is_float: bool
    companions: tuple[str, ...] = ()
    # keys of its statistics, where it lies quantised

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


class Base:
    """`quantized`: the model on the meta device as it was trained, or None where no weight was quantised."""

    def __init__(self, folder: Path, empty: nn.Module, quantized: nn.Module | None, dtype: torch.dtype) -> None:
        named = {} if quantized is None else dict(quantized.named_modules())
        self._quantized = {f"{name}.weight": module for name, module in named.items() if is_quantized(module)}
        self._dtype = dtype
        self.weights = list(_stored(folder, empty))

    def is_quantized(self, weight: Stored) -> bool:
        return weight.name in self._quantized or bool(weight.companions)

    def trained(self, weight: Stored) -> torch.Tensor:
        """In the dtype that it was trained beside."""
        with safe_open(weight.file, "pt") as file:
            value = file.get_tensor(weight.key)
            statistics = {key: file.get_tensor(key) for key in weight.companions}
        if weight.companions:
            return _unpacked(weight, value, statistics).to(self._dtype)
        if not weight.is_float:
            return value
        value = value.to(self._dtype)
        module = self._quantized.get(weight.name)
        return value if module is None else _there_and_back(module, value)


def _stored(folder: Path, empty: nn.Module) -> Iterator[Stored]:
    state = empty.state_dict()
    names = _Names(empty, state)
    for file, keys in _files(folder).items():
        with safe_open(file, "pt") as opened:
            companions = _companions(keys)
            told = {key for found in companions.values() for key in found}
            for key in keys:
                if key in told:
                    continue
                name, slice_ = names.of(key), opened.get_slice(key)
                packed = companions.get(key, ())
                shape = tuple(state[name].shape if packed else slice_.get_shape())
                is_float = bool(packed) or slice_.get_dtype() in ("F32", "F16", "BF16", "F64")
                yield Stored(key, name, file, shape, is_float, packed)


def _files(folder: Path) -> dict[Path, list[str]]:
    """The keys of each file, in the order of the files."""
    index = folder / INDEX
    files = [folder / SINGLE]
    if index.exists():
        files = [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    found = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            found[file] = sorted(opened.keys())
    return found


def _companions(keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The statistics of each quantised weight, as bitsandbytes names them: `x.weight.absmax`, or `x.SCB` in 8 bits."""
    found: dict[str, tuple[str, ...]] = {}
    for key in keys:
        if key.endswith((".weight.absmax", ".SCB")):
            weight = key.removesuffix(".absmax").removesuffix(".SCB").removesuffix(".weight") + ".weight"
            stem = weight.removesuffix(".weight")
            found[weight] = tuple(
                each
                for each in keys
                if each.startswith(f"{weight}.") or each in (f"{stem}.SCB", f"{stem}.weight_format")
            )
    return found


class _Names:
    """What transformers calls a key of a checkpoint in the model."""

    def __init__(self, empty: Any, state: dict[str, torch.Tensor]) -> None:
        transforms = get_model_conversion_mapping(empty)
        self._renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
        self._converters = [each for each in transforms if isinstance(each, WeightConverter)]
        self._prefix, self._state = empty.base_model_prefix, state

    def of(self, key: str) -> str:
        if key in self._state:
            return key
        name, pattern = rename_source_key(key, self._renamings, self._converters, self._prefix, self._state)
        return name if pattern is None else key  # a part of a weight that is put together


def _there_and_back(module: Any, value: torch.Tensor) -> torch.Tensor:
    """Quantised as transformers does it while loading, and what is multiplied with afterwards."""
    from bitsandbytes import functional

    is_transposed = module.source_cls.__name__ == "Conv1D"
    value = value.T.contiguous() if is_transposed else value
    if type(module).__name__ == "Linear4bit":
        how = module.weight
        packed, state = functional.quantize_4bit(
            value,
            blocksize=how.blocksize,
            compress_statistics=how.compress_statistics,
            quant_type=how.quant_type,
            quant_storage=how.quant_storage,
        )
        value = functional.dequantize_4bit(packed, state)
    else:
        value = functional.int8_vectorwise_dequant(*functional.int8_vectorwise_quant(value.to(torch.float16))[:2])
    return value.T.contiguous() if is_transposed else value


def _unpacked(weight: Stored, value: torch.Tensor, statistics: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of a weight that lies in the checkpoint as bitsandbytes packed it."""
    from bitsandbytes import functional

    if value.dtype == torch.int8:
        scale = next(tensor for key, tensor in statistics.items() if key.endswith(".SCB"))
        return functional.int8_vectorwise_dequant(value, scale)
    told = {key.removeprefix(f"{weight.key}."): tensor for key, tensor in statistics.items()}
    state = functional.QuantState.from_dict(qs_dict=told, device=torch.device("cpu"))
    return functional.dequantize_4bit(value, state)
