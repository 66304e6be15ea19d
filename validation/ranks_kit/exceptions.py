"""Runs whose composition does not fit what was measured: where, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Misfit:
    where: str
    # what every line that is apart contains
    why: str


ON_PROCESSORS = Misfit(
    "/optimizer peak",
    "a processor steps one parameter after another, with two temporaries as long as each; composed is the GPU's way,"
    " all together with one (torch 2.13, optim/adamw.py)",
)
COPIED = Misfit(
    "1/0/",
    "from the second step on PEFT casts what an adapter is given to its weight's dtype, which is float32 in FSDP1's"
    " parts, and FSDP1 casts it back: a copy in half for each adapter, of hidden size; checkpoints make it short-lived",
)
NOT_COPIED = Misfit(
    "",
    "one rank gathers nothing: what is offloaded is copied to the device (DeepSpeed 0.19, `NoGatherHandle`), and where"
    " host and device are one it is not; composed is the copy",
)
EXCEPTIONS: Mapping[str, Misfit] = {
    "zero3 2 qlora8": Misfit(
        "",
        "bitsandbytes keeps the whole 8-bit weight (`Int8Params.CB`) beside its part, so stage 3 divides nothing, and"
        " finefit refuses it",
    ),
    "zero3 4 lora shape=odd rank=6": Misfit(
        "0/0/",
        "between backward and step of the first step alone, 3 KB: adapters of the first layer, whose input needs no"
        " gradient, are released as though it did",
    ),
    "zero3 4 lora shape=odd reference=adapter_off": Misfit(
        "/0/",
        "5 KB, as above: the reference goes another way through the modules than what was written down, so every step"
        " is like the first",
    ),
    "zero2 2 full batch=1 length=16 optim=adamw_torch": ON_PROCESSORS,
    "zero3 2 full batch=1 length=16 optim=adamw_torch": ON_PROCESSORS,
    "fsdp2 2 full batch=1 length=16 optim=adamw_torch": ON_PROCESSORS,
    "fsdp1 2 full shape=tied batch=1 length=16 loss=full optim=adamw_torch": ON_PROCESSORS,
    "fsdp1 2 lora": COPIED,
    "fsdp1 2 qlora4": COPIED,
    "fsdp1 4 lora shape=odd rank=6": COPIED,
    "zero3 1 full offload=all": NOT_COPIED,
    "zero3 1 lora offload=all": NOT_COPIED,
}
