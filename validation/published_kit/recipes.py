"""What a row of published/*.csv means as knobs of one GPU."""

from __future__ import annotations

from collections.abc import Mapping

from finefit.nouns.knobs import Knobs

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
