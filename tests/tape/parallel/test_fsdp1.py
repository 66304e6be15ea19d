"""What FSDP1 adds to a step, beyond the real runs that hold it (test_runs.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ranks_kit.composed import WIDTH, rehearsed
from ranks_kit.runs import Run
from torch.autograd.graph import register_multi_grad_hook

from finefit.catalog.optimizers import OPTIMIZERS
from finefit.nouns.engine import FSDP1
from finefit.nouns.recording import Recording
from finefit.tape.parallel import fsdp1
from finefit.tape.peaks import alive_at, segments

RUN = Run("fsdp1", method="lora", checkpointing="all")
HIDDEN_BYTES = RUN.batch * RUN.length * 128 * WIDTH


def composed(run: Run, engine: FSDP1) -> Recording:
    return fsdp1.compose(rehearsed(run), engine, OPTIMIZERS[run.optim], WIDTH).recording


def hidden_at_the_end(recording: Recording) -> int:
    """Tensors of hidden size as the first layer's backward, which is the last, begins."""
    position = next(one.start for one in segments(recording) if one.label == "1/0/backward/0")
    return sum(recording.nbytes[number - 1] == HIDDEN_BYTES for number in alive_at(recording, position))


def test_a_hook_keeps_a_leaf_and_its_gradient() -> None:
    """torch's hook on several tensors keeps a leaf, and so its gradient, until the hook is removed."""
    leaf = torch.ones(2, requires_grad=True)
    hook = register_multi_grad_hook([leaf], lambda _: None)
    (leaf * 2).sum().backward()
    told = torch.multiprocessing.reductions.StorageWeakRef(leaf.grad.untyped_storage())  # type: ignore[union-attr]
    del leaf
    assert not told.expired()
    hook.remove()
    assert told.expired()


def test_reentrant_checkpoints_of_frozen_layers_stay() -> None:
    """Beside reentrant checkpoints every frozen layer's input and its gradient stay to the end of backward; trained
    layers' do not, nor do others."""
    kept = hidden_at_the_end(composed(RUN, FSDP1(2, prefetches=False)))
    assert kept - hidden_at_the_end(composed(RUN, FSDP1(2))) == 2 * 2  # of 4 layers, the last two's are in use
    full = replace(RUN, method="full")
    one, other = (composed(full, FSDP1(2, prefetches=each)) for each in (False, True))
    assert hidden_at_the_end(one) == hidden_at_the_end(other)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_mixed_parts_are_float32(ranks: int) -> None:
    """Under mixed precision a rank keeps four bytes of every trained parameter divided by the ranks, else its own."""
    run = replace(RUN, method="full")
    for mixed, width in ((True, 4), (False, WIDTH)):
        recording = composed(run, FSDP1(ranks, mixed))
        names = recording.kind_names
        held = sum(
            nbytes for nbytes, kind in zip(recording.nbytes, recording.kinds, strict=True) if names[kind][0] == "master"
        )
        assert held == pytest.approx(width * recording.parameters / ranks, rel=1e-3)
