"""torch's DistributedDataParallel: buckets as large as all gradients, beside them.

torch 2.13       nn/parallel/distributed.py: buckets of 25 MiB, the first of 1 MiB, gradients are no views of them
                 csrc/distributed/c10d/reducer.cpp: Reducer::initialize_buckets makes them flat, once; rebuilt after
                 the first backward pass in the order of arrival, when the old ones are gone
accelerate 1.15  utils/dataclasses.py: DistributedDataParallelKwargs' defaults are torch's
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finefit.nouns.engine import DDP
from finefit.nouns.recording import Recording
from finefit.tape.rewrite import Rewrite
from finefit.units import MIB

from .parameters import Parameter, parameters_of
from .states import BUCKET, Rank, end_of_load

FIRST_BYTES, BUCKET_BYTES = MIB, 25 * MIB


def compose(recording: Recording, engine: DDP, width: int) -> Rank:
    """`width`: bytes of one element of the weights. The optimizer is the recorded one."""
    trained = [one for one in parameters_of(recording, width) if one.is_trained]
    rewrite = Rewrite(recording)
    for nbytes in _buckets(trained) if engine.ranks > 1 else ():
        rewrite.born(end_of_load(recording), nbytes, BUCKET)
    return Rank.told(rewrite, {})


def _buckets(trained: Sequence[Parameter]) -> Iterator[int]:
    """Filled from the last parameter on, until they hold their size or more."""
    limit, filled = FIRST_BYTES, 0
    for parameter in reversed(trained):
        filled += parameter.nbytes
        if filled >= limit:
            yield filled
            limit, filled = BUCKET_BYTES, 0
    if filled:
        yield filled
