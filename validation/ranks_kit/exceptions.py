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
CAST = Misfit(
    "ward",
    "transformers casts pixels to the engine's dtype, and that copy stays until backward; composed is the tower's own"
    " cast, which goes as soon as nothing needs it. The peak, which is later, has neither",
)
TOWER_ON_NODES = Misfit(
    "",
    "as in other runs of DeepSpeed on images; and 113 KB in the first pass, of a frozen tower's packed weights, which"
    " were not looked into",
)
OTHER_NAME = Misfit("held", "6 KB of what belongs to the tower's packed weights stand under another name")
CAST_AND_NAME = Misfit("", f"{CAST.why}; {OTHER_NAME.why}")
TOWER = Misfit(
    "",
    "accelerate divides every block of a vision tower by itself, and composed they are gathered together: finefit"
    " refuses to train so, and an estimate says it",
)
DEEPSPEED = ("zero0", "zero1", "zero2", "zero3")
ON_IMAGES = (
    "full shape=seeing",
    "full accumulation=2 shape=seeing tower=frozen",
    "lora checkpointing=all shape=seeing",
    "qlora4 checkpointing=all shape=seeing tower=frozen",
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
    **{f"{engine} 2 full accumulation=2 shape=seeing tower=frozen": CAST for engine in DEEPSPEED},
    **{f"{engine} 2 lora checkpointing=all shape=seeing": CAST for engine in DEEPSPEED},
    **{f"{engine} 2 lora accumulation=2 shape=seeing": CAST for engine in DEEPSPEED[2:]},
    **{f"{engine} 2 qlora4 checkpointing=all shape=seeing tower=frozen": CAST_AND_NAME for engine in DEEPSPEED[:3]},
    "zero3 2 qlora4 checkpointing=all shape=seeing tower=frozen": TOWER_ON_NODES,
    "ddp 2 qlora4 checkpointing=all shape=seeing tower=frozen": OTHER_NAME,
    **{f"fsdp2 2 {recipe}": TOWER for recipe in ON_IMAGES},
}
