"""What a row of published/*.csv means: the knobs of one GPU, and the method."""

from __future__ import annotations

from collections.abc import Mapping

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA

Row = Mapping[str, str]


def knobs_of(row: Row) -> Knobs:
    return Knobs(
        max_length=int(row["max_length"]),
        per_device_train_batch_size=int(row["micro_batch"]),
        gradient_checkpointing="all" if row["gradient_checkpointing"] == "true" else 0,
        dtype=row["dtype"],  # type: ignore[arg-type]
        mixed_precision=row["mixed_precision"],  # type: ignore[arg-type]
        optim=row["optim"],
        attn_implementation=row["attn_implementation"],  # type: ignore[arg-type]
        loss="fused" if row["loss"] == "fused:liger_flce" else "full",
    )


def method_of(row: Row) -> Method:
    if row["method"] == "full":
        return Full()
    targets = tuple(row["lora_target_modules"].split())
    adapter = int(float(row["lora_r"])), int(float(row["lora_alpha"])), float(row["lora_dropout"] or 0), targets
    if row["method"] == "lora":
        return LoRA(*adapter)
    double = row["double_quant"] == "true"
    return QLoRA(4, *adapter, quant_type=row["quant_type"], double_quant=double)  # type: ignore[arg-type]
