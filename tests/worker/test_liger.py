"""Liger's own Python, rehearsed, where it is installed: `pip install --no-deps liger-kernel` is enough."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import pytest
import recipes
import torch
from recipes import rehearsed
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.models.llama import modeling_llama

from finefit.errors import BadInput
from finefit.nouns.recording import Recording
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.worker.recorder import Recorder
from finefit.worker.rules import liger

installed = pytest.mark.skipif(find_spec("liger_kernel") is None, reason="liger-kernel is not installed")

BATCH, LENGTH, HIDDEN, WIDTH, WORDS = 2, 128, 64, 192, 4096
AMPERE, TURING = [8, 0], [7, 5]
CONFIG = {"vocab_size": WORDS, "hidden_size": HIDDEN, "intermediate_size": WIDTH, "tie_word_embeddings": False}


def orders(
    loss: str, lora: bool = True, capability: list[int] = AMPERE, layers: int = 3, kernels: bool = True
) -> dict[str, Any]:
    return recipes.orders(
        device="cuda",
        model={"config": CONFIG | {"num_hidden_layers": layers}, "dtype": "bfloat16"},
        peft={} if lora else None,
        trainer={
            "per_device_train_batch_size": BATCH,
            "per_device_eval_batch_size": BATCH,
            "gradient_accumulation_steps": 1,
            "bf16": True,
            "use_liger_kernel": kernels,
        },
        gradient_checkpointing="all" if lora else 0,
        loss=loss,
        rehearsal={"length": LENGTH, "accumulation": 1, "compute_capability": capability, "evaluation": True},
    )


@installed
@pytest.mark.parametrize("loss", ["fused", "full", "liger"])
@pytest.mark.parametrize("lora", [True, False])
def test_five_layers_with_ligers_kernels_expand_to_many(loss: str, lora: bool) -> None:
    """Five layers, expanded to 9, are the recording of 9: forward, backward and evaluation."""
    whole = rehearsed(orders(loss, lora, layers=9))
    layers = 9 * ("A" if lora else "a")
    few, more = (rehearsed(orders(loss, lora, layers=9), [count, count * lora]) for count in (5, 6))
    expanded = expand([few, more], [layers[:5], layers[:6]], layers)
    assert expanded is not None
    assert storages_and_events(expanded) == storages_and_events(whole)
    assert phase_peaks(expanded, CUDA_BLOCK_BYTES) == phase_peaks(whole, CUDA_BLOCK_BYTES)


@installed
def test_the_kernels_of_the_layers_keep_less() -> None:
    """Where every layer keeps what backward needs: one input a norm, and no silu beside the gate."""
    plain, fused = (
        phase_peaks(rehearsed(orders("full", lora=False, kernels=kernels)))["backward"] for kernels in (False, True)
    )
    assert fused < plain


@installed
def test_ligers_loss_builds_no_logits() -> None:
    """Nothing of its size lives in training; the head has no gradient where it is frozen."""
    whole_logits = BATCH * LENGTH * WORDS * 2
    frozen = rehearsed(orders("liger"))
    assert max(size for size in sizes(frozen, "1/0/loss")) < whole_logits
    assert max(sizes(rehearsed(orders("full")), "1/0/loss")) >= whole_logits


@installed
def test_every_chunk_of_logits_uses_one_buffer() -> None:
    """Four tokens at a time: with as many logits as the hidden states have elements."""
    tokens = 4
    of_that_size = sizes(rehearsed(orders("liger")), "1/0/loss").count(tokens * WORDS * 2)
    assert 1 <= of_that_size < BATCH * LENGTH // tokens


@installed
@pytest.mark.parametrize(("capability", "temporaries"), [(AMPERE, 0), (TURING, 1)])
def test_the_heads_gradient_has_a_temporary_on_old_cards_alone(capability: list[int], temporaries: int) -> None:
    """From 8.0 on `addmm` adds to it; before, each chunk makes a float32 product of the head's size."""
    made = sizes(rehearsed(orders("liger", lora=False, capability=capability)), "1/0/loss")
    assert (made.count(WORDS * HIDDEN * 4) > 0) == bool(temporaries)


def sizes(recording: Recording, label: str) -> list[int]:
    """Of what is born under a mark."""
    return [
        recording.nbytes[event - 1]
        for (start, name), (stop, _) in zip(recording.marks, recording.marks[1:], strict=False)
        for event in recording.events[start:stop]
        if name == label and event > 0
    ]


@installed
def test_the_gated_product_writes_its_gradients_over_its_inputs() -> None:
    """`LigerSiLUMulFunction`'s backward makes no tensor: views and nothing else."""
    mode, recorder = FakeTensorMode(), Recorder()
    with liger.on_a_gpu(_model(), (8, 0)), mode:
        from liger_kernel.ops import LigerSiLUMulFunction

        gate, up = (torch.empty(BATCH, LENGTH, WIDTH, requires_grad=True) for _ in range(2))
        result = LigerSiLUMulFunction.apply(gate, up)
        grad = torch.empty_like(result)
        recorder.adopt([gate, up, grad], "activation")
        with recorder:
            torch.autograd.grad(result, [gate, up], grad)
    assert [birth.op for birth in recorder.births] == ["adopted"] * 3


@installed
def test_other_models_and_later_rehearsals_are_left_alone() -> None:
    """What Liger replaces for all models of a kind is put back."""
    before = dict(vars(modeling_llama))
    rehearsed(orders("fused"))
    assert all(vars(modeling_llama)[name] is value for name, value in before.items())


@installed
def test_a_model_without_kernels_is_refused() -> None:
    """Liger would train it as it is, and say so in a log alone."""
    config = {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 256, "vocab_size": 512}
    order = orders("fused")
    order["model"]["config"] = config
    order["peft"] |= {"target_modules": ["c_attn"]}
    with pytest.raises(BadInput, match="no kernels for gpt2"):
        rehearsed(order)


def test_a_missing_package_is_named() -> None:
    """With the command that installs it."""
    with (
        patch.object(liger, "find_spec", lambda _: None),
        pytest.raises(BadInput, match=r"not installed") as error,
    ):
        rehearsed(orders("fused"))
    assert "finefit[liger]" in error.value.problems[0].hint


def _model() -> Any:
    from finefit.worker.build import empty_model, read_config

    order = orders("fused")["model"]
    return empty_model(order, read_config(order))
