"""What kernels take inside themselves: each row of rules/kernels.py, by the sizes that its source computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from finefit.worker.bends.foreach import multi_tensor_for_fake_tensors
from finefit.worker.recorder import Recorder
from finefit.worker.rules import Card, of_a_gpu, workspaces
from finefit.worker.rules.kernels import ROWS

multi_tensor_for_fake_tensors()

BATCH, HEADS, GROUPS = 2, 8, 2
BF16, FP32 = torch.bfloat16, torch.float32
AMPERE = Card((8, 0))


def recorded(call: Callable[[], Callable[[], Any]], card: Card | None = AMPERE) -> Recorder:
    """What the call that `call` prepares gives birth to; without a card, as on a processor."""
    recorder = Recorder([] if card is None else workspaces(card))
    with FakeTensorMode(), of_a_gpu(card or AMPERE):
        prepared = call()
        with recorder:
            kept = prepared()
    del kept
    return recorder


def inside(recorder: Recorder) -> list[int]:
    """The bytes of each workspace, cuBLAS's left out; all of them are gone before anything else is born."""
    numbers = [
        n for n, birth in enumerate(recorder.births, 1) if birth.category == "workspace" and birth.op != "cublas"
    ]
    for number in numbers:
        born, died = recorder.events.index(number), recorder.events.index(-number)
        assert all(abs(event) in numbers for event in recorder.events[born:died])
    return [recorder.births[number - 1].nbytes for number in numbers]


def attention(length: int, head: int, groups: int, dtype: torch.dtype) -> Callable[[], Callable[[], Any]]:
    """The backward of attention, its gradient laid out as transformers lays it out."""

    def call() -> Callable[[], Any]:
        query = torch.empty(BATCH, length, HEADS, head, dtype=dtype, requires_grad=True)
        key, value = (torch.empty(BATCH, length, groups, head, dtype=dtype, requires_grad=True) for _ in range(2))
        parts = (query, key, value)
        result = F.scaled_dot_product_attention(
            *(part.transpose(1, 2) for part in parts), is_causal=True, enable_gqa=groups != HEADS
        )
        grad = torch.empty(BATCH, length, HEADS, head, dtype=dtype).transpose(1, 2)
        return lambda: torch.autograd.grad(result, parts, grad)

    return call


@pytest.mark.parametrize(("length", "rows"), [(64, 128), (128, 128), (130, 256)])
@pytest.mark.parametrize(("head", "width"), [(16, 32), (96, 96), (160, 192)])
@pytest.mark.parametrize("groups", [HEADS, GROUPS])
def test_flash_backward_accumulates_in_float32(length: int, rows: int, head: int, width: int, groups: int) -> None:
    """Lengths round up to 128, heads to 32 or 64; grouped keys and values get a gradient for every query head."""
    expanded = [BATCH * length * HEADS * head * 2] * (2 if groups != HEADS else 0)
    sums, gradient = BATCH * HEADS * rows * 4, BATCH * rows * HEADS * width * 4
    assert inside(recorded(attention(length, head, groups, BF16))) == [sums, gradient, *expanded]


def test_a_gradient_in_another_layout_is_copied() -> None:
    """Flash wants (batch, length, heads, head) in one piece."""

    def call() -> Callable[[], Any]:
        query = torch.empty(BATCH, HEADS, 128, 32, dtype=BF16, requires_grad=True)
        result = F.scaled_dot_product_attention(query, query, query, is_causal=True)
        grad = torch.empty(BATCH, HEADS, 128, 32, dtype=BF16)
        return lambda: torch.autograd.grad(result, query, grad)

    assert inside(recorded(call))[0] == BATCH * HEADS * 128 * 32 * 2


@pytest.mark.parametrize(("head", "tiles"), [(64, 2), (128, 2)])
def test_efficient_backward_keeps_the_querys_gradient_in_tiles(head: int, tiles: int) -> None:
    """One tile for 64 or 128 rows and 64 columns, in float32, with its locks; one number a row beside them."""
    rows = 64 if head == 64 else 128
    made = inside(recorded(attention(128, head, HEADS, torch.float16), Card((7, 5), "efficient")))
    assert made == [BATCH * HEADS * 128 * 4, BATCH * HEADS * tiles * (16 + rows * 64 * 4)]


@pytest.mark.parametrize(("tokens", "words"), [(3072, 500), (3073, 500), (3073, 10_000)])
def test_embedding_backward_sorts_more_than_3072_tokens(tokens: int, words: int) -> None:
    """Up to there it takes nothing; beyond, a float32 row for every run of a word and every ten tokens."""
    width = 32

    def call() -> Callable[[], Any]:
        weight = torch.empty(words, width, dtype=BF16, requires_grad=True)
        result = F.embedding(torch.zeros(1, tokens, dtype=torch.int64), weight)
        return lambda: torch.autograd.grad(result, weight, torch.empty_like(result))

    runs = min(tokens, words)
    rows = tokens // 10 + runs
    expected = [*[tokens * 8] * 3, runs * 8, runs * 8, 8, 8, rows * 8, rows * width * 4]
    assert inside(recorded(call)) == ([] if tokens <= 3072 else expected)


def test_the_gradient_of_indexing_is_sorted_and_written_once() -> None:
    """Four lists of one number an index; the zeros that it is added to are the gradient, and are not copied."""
    rows, width, taken = 100, 16, 30

    def call() -> Callable[[], Any]:
        hidden = torch.empty(rows, width, requires_grad=True)
        result = hidden[torch.zeros(taken, dtype=torch.int64)]
        return lambda: torch.autograd.grad(result, hidden, torch.empty_like(result))

    recorder = recorded(call)
    assert inside(recorder) == [taken * 8] * 4
    assert [birth.nbytes for birth in recorder.births].count(rows * width * 4) == 1


def test_a_recorded_run_adds_where_an_unwatched_one_does() -> None:
    """The processor too: watching makes no second tensor."""
    recorder = Recorder()
    hidden = torch.zeros(100, 16, requires_grad=True)
    with recorder:
        [gradient] = torch.autograd.grad(hidden[torch.tensor([3, 3, 5])].sum(), hidden)
    assert [birth.nbytes for birth in recorder.births].count(gradient.nbytes) == 1
    assert gradient.sum(1).nonzero().flatten().tolist() == [3, 5]
    assert gradient[3, 0] == 2


def test_norms_have_a_part_for_every_chunk_of_the_largest() -> None:
    """65,536 elements are one chunk."""

    def call() -> Callable[[], Any]:
        tensors = [torch.empty(10), torch.empty(65_537), torch.empty(3)]
        return lambda: torch._foreach_norm(tensors)

    assert inside(recorded(call)) == [3 * 2 * 4]


def images(target: torch.Size, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, the mask that says where images go, and what goes there."""
    rows = torch.empty(target, dtype=BF16, requires_grad=True)
    mask = torch.empty(*target[:2], 1, dtype=torch.bool)
    return rows, mask, torch.empty(tokens, target[-1], dtype=BF16, requires_grad=True)


def test_what_is_put_into_a_mask_is_counted_first() -> None:
    """An int64 for every element of the rows, and the mask in their shape."""
    target = torch.Size([2, 100, 64])

    def call() -> Callable[[], Any]:
        rows, mask, seen = images(target, 30)
        return lambda: rows.masked_scatter(mask, seen)

    assert inside(recorded(call)) == [target.numel() * 8, target.numel()]


def test_a_gradient_is_taken_out_of_a_mask_by_places() -> None:
    """Three int64 for every element that an image gave, and as much of the mask as is larger than the result."""
    target, tokens = torch.Size([2, 100, 64]), 30

    def call() -> Callable[[], Any]:
        rows, mask, seen = images(target, tokens)
        made = rows.masked_scatter(mask, seen)
        return lambda: torch.autograd.grad(made, seen, torch.empty(target, dtype=BF16))

    chosen = tokens * 64
    assert inside(recorded(call)) == [chosen * 3 * 8, target.numel() - chosen * 2]


def test_a_processor_takes_none_of_it() -> None:
    """A rehearsal for a processor has no rules of a GPU."""
    assert inside(recorded(attention(128, 32, HEADS, BF16), card=None)) == []


def test_every_row_says_where_it_was_read() -> None:
    """File and function of torch's source."""
    for _, sizes in ROWS.values():
        assert sizes.__doc__ is not None
        assert "Source: aten/src/ATen/native/" in sizes.__doc__
