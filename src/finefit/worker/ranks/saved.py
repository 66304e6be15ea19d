"""What training on several ranks leaves behind: gathered where parameters are divided, and written by the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..saved import save
from .group import Group


def save_together(trainer: Any, folder: Path, group: Group, beside: Sequence[Path]) -> int:
    """Every rank must come here. The bytes written; 0 on all ranks but the first."""
    state = _gathered(trainer)
    nbytes = save(trainer.model, trainer.processing_class, folder, state, beside) if group.is_first else 0
    group.wait()
    return nbytes


def _gathered(trainer: Any) -> dict[str, Any] | None:
    """Of the first rank, whole; None where each rank has all parameters as they are."""
    if not _divides(trainer):
        return None
    if trainer.is_deepspeed_enabled and hasattr(trainer.model, "peft_config"):
        return trainer.deepspeed._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=True)
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def _divides(trainer: Any) -> bool:
    if trainer.is_deepspeed_enabled:
        return bool(trainer.deepspeed.zero_optimization_partition_weights())
    return bool(trainer.is_fsdp_enabled)
