"""The fake mode of a rehearsal answers as torch's own does, in less time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, LlamaConfig

from finefit.worker.fake import make_fake
from finefit.worker.fakes import Fakes
from finefit.worker.shadow import ControlFlow

SMALL = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=64, attn_implementation="sdpa",
)  # fmt: skip


def steps(mode: FakeTensorMode, shapes: list[tuple[int, int]]) -> None:
    """Of a real model and optimizer, in two precisions."""
    with torch.device("meta"):
        model: Any = make_fake(AutoModelForCausalLM.from_config(SMALL), mode)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    with mode, ControlFlow(mode):
        for shape in shapes:
            for is_half in (False, True):
                ids = torch.zeros(shape, dtype=torch.int64)
                with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
                    logits = model(input_ids=ids, use_cache=False).logits
                    cross_entropy(logits.float().flatten(0, 1), ids.flatten()).backward()
                optimizer.step()
                optimizer.zero_grad()


def test_what_is_kept_is_what_torch_computes() -> None:
    """Each answer that was kept is computed again by torch, and compared: sizes, strides, precision, aliases."""
    mode = Fakes()
    mode.cache_crosscheck_enabled = True
    kept = FakeTensorMode.cache_info().hits
    steps(mode, [(2, 16), (3, 16), (2, 24), (2, 16)])
    assert FakeTensorMode.cache_info().hits > kept + 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x + 1, lambda x: x + 1.5),
        (lambda x: x + True, lambda x: x + 1.0),
        (lambda x: x.sum(0), lambda x: x.sum(-1)),
        (lambda x: x.sum(dim=[0], keepdim=True), lambda x: x.sum(dim=[0], keepdim=False)),
        (lambda x: x.to(torch.float64), lambda x: x.to(torch.bfloat16)),
        (lambda x: x.T * 1, lambda x: x.reshape(7, 5) * 1),
        (lambda x: x[1:] + 0, lambda x: x[:-1] + 0),
        (lambda x: torch.cat([x, x]), lambda x: torch.cat([x, x, x])),
    ],
)
def test_what_is_asked_for_is_told_apart(one: Any, other: Any) -> None:
    """Of integers, so that a number's type decides the result's; each asked twice, so that the second is kept."""
    with Fakes():
        fake = [each(torch.ones(5, 7, dtype=torch.int64)) for each in (one, other, one, other)]
    real = [each(torch.ones(5, 7, dtype=torch.int64)) for each in (one, other, one, other)]
    assert [(x.shape, x.stride(), x.dtype) for x in fake] == [(x.shape, x.stride(), x.dtype) for x in real]


def test_a_product_of_three_dimensions_has_one_storage() -> None:
    """`_unsafe_view` is no copy."""
    with Fakes():
        product = torch.ones(2, 3)
        viewed = torch.ops.aten._unsafe_view(product, [6])
    assert viewed.untyped_storage()._cdata == product.untyped_storage()._cdata


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
def test_what_is_made_of_an_answer_is_as_torch_makes_it() -> None:
    """Its attributes, its storage and what it says of its address: new tensors, views, and what is in place."""

    def told(mode: FakeTensorMode) -> list[Any]:
        with mode:
            x = torch.ones(5, 7, requires_grad=True)
            made = [each for _ in range(3) for each in (x + 1, x[1:].T, (x * 2).add_(1), x.detach(), x.bool())]
        storages = [each.untyped_storage()._cdata for each in made]
        kinds = [
            {name: value for name, value in vars(each).items() if value is not mode}
            | {"address": each.data_ptr(), "leaf": each.is_leaf, "trained": each.requires_grad, "of": type(each)}
            | {"offset": each.storage_offset(), "bytes": each.untyped_storage().nbytes(), "stride": each.stride()}
            for each in made
        ]
        assert all(each.fake_mode is mode for each in made)
        return [*kinds, [storages.index(one) for one in storages]]

    assert told(Fakes()) == told(FakeTensorMode())
