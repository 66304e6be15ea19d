"""What a checkpoint holds quantised already: bitsandbytes' words in the `quantization_config` of its config.json.

Knows: the bits, and the words that decide what the weights take. Does not know: what other ways of quantising mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .model import Model

BITSANDBYTES = "bitsandbytes"
BITS: Mapping[str, Literal[4, 8]] = {"load_in_4bit": 4, "load_in_8bit": 8}
DEFAULTS: Mapping[str, Any] = {
    "llm_int8_skip_modules": None,
    "llm_int8_threshold": 6.0,
    "bnb_4bit_quant_storage": "uint8",
}
"""Words that a job has no key for, with BitsAndBytesConfig's defaults (transformers 5.17 and 5.23)."""


@dataclass(frozen=True)
class Packed:
    bits: Literal[4, 8]
    quant_type: Literal["nf4", "fp4"]
    double_quant: bool
    others: Mapping[str, Any]
    # of `DEFAULTS`, where they are other than that


def said_of_quantization(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """As transformers looks for it: in the configuration, then in that of its language model."""
    places = (config, config.get("text_config"))
    found = [place.get("quantization_config") for place in places if isinstance(place, Mapping)]
    return next((said for said in found if isinstance(said, Mapping)), None)


def quantized_by(said: Mapping[str, Any]) -> str:
    """The method's name; old checkpoints of bitsandbytes say only how many bits."""
    bits = any(said.get(word) for word in BITS)
    return str(said.get("quant_method") or (BITSANDBYTES if bits else "unknown"))


def is_understood(said: Mapping[str, Any]) -> bool:
    """Whether bitsandbytes packed the weights, in a way that it has a name for."""
    one = sum(bool(said.get(word)) for word in BITS) == 1
    known = said.get("bnb_4bit_quant_type", "fp4") in ("nf4", "fp4") and not said.get("llm_int8_has_fp16_weight")
    return one and known and quantized_by(said) == BITSANDBYTES


def packed_in(model: Model) -> Packed | None:
    """None where weights are not quantised yet. What `is_understood` refuses was refused when the model was found."""
    said = said_of_quantization(model.config)
    if said is None:
        return None
    return Packed(
        bits=next(bits for word, bits in BITS.items() if said.get(word)),
        quant_type=said.get("bnb_4bit_quant_type", "fp4"),
        double_quant=said.get("bnb_4bit_use_double_quant", False),
        others={word: said[word] for word, usual in DEFAULTS.items() if said.get(word, usual) not in (usual, None)},
    )
