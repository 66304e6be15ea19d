"""A run on several ranks that is resumed in a later epoch meets that epoch's rows.

accelerate 1.15, data_loader.py: of an epoch of which the first batches are skipped, `DataLoaderShard.set_epoch` reaches
the sampler through one batch sampler, and on several ranks there are two, `SkipBatchSampler` and `BatchSamplerShard`:
the sampler keeps the order of the first epoch, so some rows come twice, and others not at all. transformers (5.23,
trainer.py: `_run_epoch`) reaches for batch samplers alone.
Here `BatchSamplerShard` says which sampler it divides.
Ends when accelerate's does.
"""

from __future__ import annotations

from typing import Any

from accelerate.data_loader import BatchSamplerShard


def shard_tells_epoch() -> None:
    if not hasattr(BatchSamplerShard, "sampler"):
        BatchSamplerShard.sampler = property(_sampler)


def _sampler(shard: BatchSamplerShard) -> Any:
    return shard.batch_sampler.sampler
