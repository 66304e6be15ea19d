"""Mixtures of experts: the rehearsal against the real step, whichever way their experts are run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import pytest
import torch
from recipes import SMALL, merged, orders, rehearsed
from test_rehearsal import MOE, NF4, curve, real_step
from torch.utils._python_dispatch import TorchDispatchMode

from finefit.estimate.left_out import BY_THEMSELVES
from finefit.nouns.recording import Recording
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.layers import few_of, kept_of
from finefit.tape.peaks import phase_peaks
from finefit.worker.bends.config_dict import config_from_dict
from finefit.worker.build import model_class
from finefit.worker.fake import make_fake
from finefit.worker.fakes import Fakes
from finefit.worker.shadow import ControlFlow, with_shadow

pytestmark = pytest.mark.wide(4)

aten = torch.ops.aten
FOUR = {"num_local_experts": 4, "num_experts_per_tok": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": FOUR,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": MOE,
    "gpt_oss": FOUR | {"head_dim": 16, "sliding_window": 32},
    "jetmoe": FOUR | {"kv_channels": 16},
}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora, checkpointed": {"gradient_checkpointing": "all"},
    "lora, autocast": {"model": {"dtype": "bfloat16"}, "trainer": {"bf16": True}, "loss": "full"},
    "full": {"peft": None},
    "full, autocast": {"peft": None, "trainer": {"bf16": True}},
    "4 bits": {"model": NF4},
}
ATTENTION = {"gpt_oss": "eager"}
"""transformers refuses any other that a processor has."""


class Even(TorchDispatchMode):
    """Experts chosen in turn, as a rehearsal takes it, whatever a router would say."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is aten.topk.default:
            indices = result[1]
            indices.copy_((torch.arange(indices.numel()) % args[0].shape[-1]).reshape(indices.shape))
        return result


def mixture(family: str, **changes: Any) -> dict[str, Any]:
    model = {"config": FAMILIES[family], "attn_implementation": ATTENTION.get(family, "sdpa")}
    return orders(family, **merged({"model": model}, changes))


def both(order: dict[str, Any], *, evenly: bool = False) -> tuple[Recording, Recording]:
    """The rehearsal and the real step, whose phases have the same peaks."""
    fake = rehearsed(order)
    with Even() if evenly else nullcontext():
        real = real_step(order)
    assert phase_peaks(fake) == phase_peaks(real)
    return fake, real


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["mixtral", "olmoe", "qwen3_moe", "gpt_oss"])
def test_a_mixture_is_rehearsed_to_the_byte(family: str, method: str) -> None:
    """Experts in one product: peaks and live bytes of the real step, whatever its router chose."""
    fake, real = both(mixture(family, **METHODS[method]))
    assert curve(fake) == curve(real)


@pytest.mark.wide(2)
@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_however_experts_run_they_are_rehearsed_to_the_byte(implementation: str, method: str) -> None:
    """One after another, all weights gathered, or one product: a step that chooses evenly has the rehearsal's peaks.

    The curve too, but for experts that run one after another: torch writes `one_hot` otherwise for fake tensors.
    """
    asked = {"model": {"config": {"experts_implementation": implementation}}}
    fake, real = both(mixture("olmoe", **merged(METHODS[method], asked)), evenly=True)
    assert implementation == "eager" or curve(fake) == curve(real)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_sizes_that_only_a_router_knows_are_rehearsed(method: str) -> None:
    """Rows are split by how many each expert got: a step that chooses evenly has the rehearsal's bytes."""
    fake, real = both(mixture("jetmoe", **METHODS[method]), evenly=True)
    assert curve(fake) == curve(real)


def test_the_balance_of_experts_is_counted_without_a_mask() -> None:
    """Rows without padding are counted by another operation, with a size that depends on what was chosen."""
    config = config_from_dict({**SMALL, **FAMILIES["olmoe"], "model_type": "olmoe", "output_router_logits": True})
    with torch.device("meta"):
        empty = model_class(config).from_config(config)
    mode = Fakes()
    model = make_fake(empty, mode)
    ids = with_shadow(torch.arange(64).reshape(2, 32), mode)
    with mode, ControlFlow(mode):
        outputs = model(input_ids=ids, labels=ids)
        outputs.loss.backward()
    assert outputs.aux_loss.shape == ()


HALF = {"model": {"dtype": "bfloat16"}, "trainer": {"bf16": True}}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "olmoe, full": ("olmoe", "a" * 13, {"peft": None}),
    "olmoe, whole logits": ("olmoe", "A" * 6 + "a" * 7, merged(HALF, {"loss": "full", "rehearsal": {"length": 77}})),
    "olmoe, old card": ("olmoe", "a" * 8, {"rehearsal": {"compute_capability": [7, 5]}}),
    "mixtral, lora": ("mixtral", "A" * 13, merged(HALF, {"rehearsal": {"evaluation": True}})),
    "mixtral, 4 bits": ("mixtral", "a" * 8, {"model": NF4}),
    "every other one dense": ("qwen3_moe", "ab" * 7, {"model": {"config": {"decoder_sparse_step": 2}}}),
}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", MODELS)
def test_a_few_layers_of_experts_expand_to_many_exactly(name: str) -> None:
    """Although their balance is counted outside of the layers, through all of them: every birth and death, in order, to
    the byte."""
    family, layers, changes = MODELS[name]
    trainer = {"per_device_eval_batch_size": 2}
    model = {"config": {"num_hidden_layers": len(layers)}}
    order = merged(mixture(family, device="cuda", trainer=trainer, model=model), changes)

    def recorded(kept: Sequence[int]) -> Recording:
        return rehearsed(order, [kept, sum(layers[place].isupper() for place in kept)])

    shown = few_of(layers)
    found = expand([recorded(kept) for kept in shown], [kept_of(layers, kept) for kept in shown], layers)
    direct = recorded(range(len(layers)))
    assert found is not None
    assert storages_and_events(found) == storages_and_events(direct)
    assert found.marks == direct.marks
    assert phase_peaks(found) == phase_peaks(direct)
    assert (found.parameters, found.trainable_parameters) == (direct.parameters, direct.trainable_parameters)


def products(card: tuple[int, int]) -> set[str]:
    """The operations that multiply by all experts at once on a card."""
    order = mixture("olmoe", device="cuda", rehearsal={"compute_capability": list(card)})
    return {kind[3] for kind in rehearsed(order).kind_names if "grouped_mm" in kind[3]}


def test_old_cards_multiply_experts_in_another_operation() -> None:
    """From compute capability 8.0 on it is torch's own; before, transformers', forward and backward."""
    assert products((8, 0)) == products((9, 0)) == {"aten._grouped_mm.default"}
    assert all(name.startswith("transformers.grouped_mm_fallback") for name in products((7, 5)))


def test_old_cards_write_gradients_of_frozen_experts() -> None:
    """What stands in for torch's operation has no way to leave them out: two matrices of every expert in a layer."""

    def written(card: tuple[int, int]) -> int:
        frozen = {"target_modules": ["q_proj"]}
        order = mixture("olmoe", device="cuda", peft=frozen, rehearsal={"compute_capability": list(card)})
        recording = rehearsed(order)
        sizes = [4 * 4 * SMALL["hidden_size"] * width * SMALL["intermediate_size"] for width in (1, 2)]
        kinds = [recording.kind_names[kind] for kind in recording.kinds]
        return sum(kind[1] == "backward" and n in sizes for kind, n in zip(kinds, recording.nbytes, strict=True))

    steps = 2
    assert written((7, 5)) == steps * 2 * SMALL["num_hidden_layers"]
    assert written((8, 0)) == 0


@pytest.mark.parametrize("kind", [*FAMILIES, "dbrx", "doge", "llama4", "longcat_flash"])
def test_which_experts_are_one_product_is_as_the_note_says(kind: str) -> None:
    """transformers' own decorator is on the experts of a class, or the note says that they run by themselves."""
    modeling = import_module(f"transformers.models.{kind}.modeling_{kind}")
    assert hasattr(modeling, "use_experts_implementation") == (kind not in BY_THEMSELVES)
