"""What the trainer is told of its engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from finefit.lower.accelerate import trainer_words
from finefit.nouns.engine import FSDP2


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("reshard", [False, True])
def test_transformers_reads_what_fsdp_is_told(tmp_path: Path, offload: bool, reshard: bool) -> None:
    """Offload and resharding reach accelerate's plugin, which has no word that it does not know."""
    transformers = pytest.importorskip("transformers")
    utils = pytest.importorskip("accelerate.utils")
    words = trainer_words(FSDP2(2, offload, reshard))
    read = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **words).fsdp_plugin_args
    assert read["fsdp_version"] == 2
    assert read.get("cpu_offload", False) is offload
    assert read["reshard_after_forward"] is reshard
    assert read["auto_wrap_policy"].upper() == "TRANSFORMER_BASED_WRAP"
    assert read.keys() <= utils.FullyShardedDataParallelPlugin.__dataclass_fields__.keys()
