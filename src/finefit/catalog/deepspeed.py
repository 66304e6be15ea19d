"""DeepSpeed's sizes as transformers writes them where a configuration says `auto`.

transformers 5.23  integrations/deepspeed.py: HfTrainerDeepSpeedConfig.trainer_config_finalize
deepspeed 0.19     runtime/zero/config.py: DeepSpeedZeroConfig's defaults, overlap_comm_valid
"""

from __future__ import annotations

from finefit.nouns.engine import Buckets, ZeroStage

PERSISTENT_ROWS = 10
"""A parameter of up to so many times the hidden size stays whole on every rank."""


def auto_buckets(hidden: int, stage: ZeroStage) -> Buckets:
    """`hidden`: the model's hidden size."""
    return Buckets(
        reduce_bucket_size=hidden * hidden,
        stage3_prefetch_bucket_size=int(0.9 * hidden * hidden),
        stage3_param_persistence_threshold=PERSISTENT_ROWS * hidden,
        overlap_comm=stage == 3,
    )
