"""Each rule of what a GPU does otherwise, alone: which storages one call gives birth to, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from finefit.catalog.kernels import cublas_workspace_bytes
from finefit.worker.bends.foreach import multi_tensor_for_fake_tensors
from finefit.worker.fakes import Fakes
from finefit.worker.recorder import Recorder
from finefit.worker.rules import Card, of_a_gpu, workspaces

BATCH, HEADS, GROUPS, LENGTH, HEAD = 2, 8, 2, 64, 16
BF16, FP32 = torch.bfloat16, torch.float32
AMPERE, TURING = Card((8, 0)), Card((7, 5))


def births(call: Callable[[], Any], card: Card = AMPERE) -> list[tuple[str, int]]:
    """(operation, bytes) of every storage that `call` makes on a card, in order."""
    recorder = Recorder(workspaces(card))
    with FakeTensorMode(), of_a_gpu(card):
        prepared = call()
        with recorder:
            kept = prepared()
    del kept
    return [(birth.op.removeprefix("aten.").split(".")[0], birth.nbytes) for birth in recorder.births]


def test_dropout_keeps_a_mask_of_one_byte() -> None:
    """Output and mask, and nothing else."""
    made = births(lambda: _with(torch.empty(100, dtype=BF16), lambda x: F.dropout(x, 0.1)))
    assert made == [("native_dropout", 200), ("native_dropout", 100)]


@pytest.mark.parametrize("inputs", [BF16, FP32])
@pytest.mark.parametrize("weight", [BF16, FP32])
def test_a_layer_norms_statistics_are_as_precise_as_they_are(inputs: torch.dtype, weight: torch.dtype) -> None:
    """On a processor as torch's own kernel has them, where it takes the two; on a GPU in float32."""

    def statistics() -> list[torch.dtype]:
        scale = torch.ones(16, dtype=weight)
        _, *found = torch.native_layer_norm(torch.ones(8, 16, dtype=inputs), [16], scale, scale, 1e-5)
        return [each.dtype for each in found]

    with Fakes(on_gpu=True):
        assert statistics() == [FP32, FP32]
    if (inputs, weight) != (FP32, BF16):  # no kernel takes these
        with Fakes():
            fake = statistics()
        assert fake == statistics()


def test_softmax_into_float32_copies_no_input() -> None:
    """One kernel reads half precision and writes float32."""
    made = births(lambda: _with(torch.empty(4, 50, dtype=BF16), lambda x: F.softmax(x, dim=-1, dtype=FP32)))
    assert made == [("_softmax", 4 * 50 * 4)]


def test_softmax_backward_multiplies_into_a_temporary() -> None:
    """Its gradient in the input's dtype, and grad × output beside it."""

    def backward() -> Any:
        scores = torch.empty(4, 50, dtype=BF16, requires_grad=True)
        result = F.softmax(scores, dim=-1, dtype=FP32)
        return lambda: torch.autograd.grad(result, scores, torch.empty(4, 50))

    assert [made for made in births(backward) if "backward" in made[0]] == [
        ("_softmax_backward_data", 4 * 50 * 2),
        ("softmax backward", 4 * 50 * 4),
    ]


def test_flash_attention_takes_grouped_heads_and_builds_no_scores() -> None:
    """Output and one float32 a row; keys and values are not repeated."""
    made = _attention_births(AMPERE, BF16)
    assert max(size for _, size in made) == BATCH * HEADS * LENGTH * HEAD * 2  # the output
    assert BATCH * HEADS * LENGTH * 4 in [size for _, size in made]
    assert {op for op, _ in made} == {"_scaled_dot_product_flash_attention"}


def test_an_older_card_builds_the_scores_of_grouped_heads() -> None:
    """Without flash, grouped queries run in the math kernel: length × length scores."""
    assert BATCH * HEADS * LENGTH * LENGTH * 4 in [size for _, size in _attention_births(TURING, FP32)]


def test_a_forced_kernel_is_taken() -> None:
    """`efficient` repeats keys and values for every head, and builds no scores."""
    made = _attention_births(Card((7, 5), "efficient"), FP32)
    assert BATCH * HEADS * LENGTH * LENGTH * 4 not in [size for _, size in made]
    assert "_scaled_dot_product_efficient_attention" in dict(made)


def _attention_births(card: Card, dtype: torch.dtype) -> list[tuple[str, int]]:
    def call() -> Any:
        query = torch.empty(BATCH, HEADS, LENGTH, HEAD, dtype=dtype, requires_grad=True)
        key, value = (torch.empty(BATCH, GROUPS, LENGTH, HEAD, dtype=dtype) for _ in range(2))
        return lambda: F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

    return births(call, card)


def test_autocast_computes_powers_in_float32() -> None:
    """On CUDA's list and not on the processor's: the input is copied."""

    def call() -> Any:
        values = torch.empty(100, dtype=BF16)

        def power() -> Any:
            with torch.autocast("cpu", dtype=BF16):
                return values.pow(2)

        return power

    assert births(call) == [("_to_copy", 400), ("pow", 400)]


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_cublas_holds_one_workspace_for_each_thread(capability: tuple[int, int]) -> None:
    """The first product takes it, the second finds it there."""

    def call() -> Any:
        matrix = torch.empty(8, 8)
        return lambda: (matrix @ matrix, matrix @ matrix)

    workspace = ("cublas", cublas_workspace_bytes(capability))
    assert births(call, Card(capability)) == [("mm", 256), workspace, ("mm", 256)]


def test_clipping_goes_through_all_gradients_at_once() -> None:
    """The multi-tensor path, which fake tensors are refused without the bend."""
    multi_tensor_for_fake_tensors()

    def call() -> Any:
        weights = [torch.empty(10, requires_grad=True) for _ in range(3)]
        for weight in weights:
            weight.grad = torch.empty(10)
        return lambda: torch.nn.utils.clip_grad_norm_(weights, 1.0)

    assert [op for op, _ in births(call)].count("_foreach_norm") == 3


def _with(value: torch.Tensor, function: Callable[[torch.Tensor], Any]) -> Callable[[], Any]:
    return lambda: function(value)
