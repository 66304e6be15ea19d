"""Each knob of a job, asked of the live objects that it ends in: the model, the optimizer, the loader, the loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from peft.tuners.lora import LoraLayer

from finefit.api import method_of
from finefit.lower.orders import job_orders
from finefit.lower.rows import with_rows
from finefit.nouns.formats import MESSAGES
from finefit.nouns.job import Job
from finefit.search.choice import choose, suited
from finefit.worker.events import Events
from finefit.worker.progress import Progress, resident_memory
from finefit.worker.stage import Stage, blocks_of
from finefit.worker.train import Measure, made_trainer
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

pytestmark = pytest.mark.xdist_group("obeyed")
JOB = Job(model="", data="", gpu="cpu", global_batch_size=4, max_steps=2)
Made = Callable[..., Any]


@pytest.fixture(scope="module")
def made(model_folder: Path, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The trainer of a run, of a job with these keys."""

    def trainer(**keys: Any) -> Any:
        job = replace(JOB, model=str(model_folder), data=data["train"], **keys)
        machine, model = machine_named("cpu"), find_model(job.model, for_training=True)
        knobs, _ = suited(choose(job, machine), model)
        orders = with_rows(job_orders(job, model, method_of(job), knobs, machine), MESSAGES, {"train": [], "eval": []})
        run = tmp_path_factory.mktemp("run")
        measure = Measure(Stage(), nullcontext, resident_memory, lambda _: None)
        told = {"events": Events(run / "events.jsonl"), "progress": Progress(resident_memory), "check": lambda: None}
        return made_trainer(run, orders, measure, callbacks=[], **told)

    return trainer


@pytest.mark.parametrize(("asked", "live"), [("none", [False, False]), (1, [True, False]), ("all", [True, True])])
def test_exactly_the_first_layers_are_checkpointed(made: Made, asked: Any, live: list[bool]) -> None:
    """By the flag that each layer reads as it runs."""
    blocks = blocks_of(made(gradient_checkpointing=asked).model)
    assert [bool(block.gradient_checkpointing) for block in blocks] == live


OPTIMIZERS = {
    "adamw_torch": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adamw_8bit": bnb.optim.AdamW,
    "lion_8bit": bnb.optim.Lion,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_the_one_that_was_asked_for(made: Made, name: str) -> None:
    """In the bits that its name says, over what is trained alone."""
    trainer = made(optim=name)
    optimizer = trainer.create_optimizer()
    assert isinstance(optimizer, OPTIMIZERS[name])
    assert getattr(optimizer, "args", None) is None or optimizer.args.optim_bits == 8
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert stepped == {id(parameter) for parameter in trainer.model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", ["eager", "sdpa"])
def test_attention_is_computed_as_asked(made: Made, name: str) -> None:
    model = made(attn_implementation=name).model
    assert {module.config._attn_implementation for module in model.modules() if hasattr(module, "q_proj")} == {name}


@pytest.mark.parametrize(("loss", "builds_logits"), [("fused", 0), ("full", 1)])
def test_logits_are_built_where_they_were_asked_for(made: Made, loss: str, builds_logits: int) -> None:
    """Once a micro-batch, or never."""
    trainer = made(loss=loss)
    calls = []
    trainer.model.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.compute_loss(trainer.model.train(), trainer._prepare_inputs(batch))
    assert len(calls) == builds_logits


def test_a_micro_batch_has_as_many_rows_as_asked(made: Made) -> None:
    """And a step as many of them as make the global batch."""
    trainer = made(per_device_train_batch_size=2)
    loader = trainer.get_train_dataloader()
    assert next(iter(loader))["input_ids"].shape[0] == 2
    batches, _ = trainer.get_batch_samples(iter(loader), trainer.args.gradient_accumulation_steps, "cpu")
    assert len(batches) * 2 == JOB.global_batch_size


def test_packed_rows_share_a_sequence(made: Made) -> None:
    """Of at most the length, in one row without a mask, and positions begin anew."""
    trainer = made(packing=True, max_length=64, global_batch_size=1, per_device_train_batch_size=1)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 1
    assert batch["input_ids"].shape[1] <= 64
    assert "attention_mask" not in batch
    assert (batch["position_ids"] == 0).sum() > 1


def test_adapters_are_as_asked(made: Made) -> None:
    """Rank, scale, dropout and where they are."""
    model = made(lora_r=3, lora_alpha=6, lora_dropout=0.25, lora_target_modules=("q_proj", "v_proj")).model
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    assert {name.rsplit(".", 1)[-1] for name in layers} == {"q_proj", "v_proj"}
    for layer in layers.values():
        assert layer.lora_A["default"].weight.shape[0] == 3
        assert layer.scaling["default"] == 2.0
        assert layer.lora_dropout["default"].p == 0.25


def test_dora_is_asked_for_and_had(made: Made) -> None:
    """A trained length for every output of every layer with an adapter; none where it is not asked for."""
    layers = [module for module in made(use_dora=True).model.modules() if isinstance(module, LoraLayer)]
    assert layers
    for layer in layers:
        length = layer.lora_magnitude_vector["default"].weight
        assert length.requires_grad
        assert length.shape == (layer.out_features,)
    plain = [module for module in made().model.modules() if isinstance(module, LoraLayer)]
    assert not any(len(layer.lora_magnitude_vector) for layer in plain)


def test_rslora_scales_by_the_root_of_the_rank(made: Made) -> None:
    layers = [
        module
        for module in made(use_rslora=True, lora_r=4, lora_alpha=6).model.modules()
        if isinstance(module, LoraLayer)
    ]
    assert {layer.scaling["default"] for layer in layers} == {3.0}


@pytest.mark.parametrize(("method", "trained"), [("lora", False), ("full", True)])
def test_the_method_trains_what_it_says(made: Made, method: Any, trained: bool) -> None:
    """The model's own weights, or adapters beside them."""
    model = made(method=method).model
    own = [parameter for name, parameter in model.named_parameters() if "lora_" not in name]
    assert {parameter.requires_grad for parameter in own} == {trained}


@pytest.mark.parametrize(("quant_type", "nested"), [("nf4", True), ("fp4", False)])
def test_weights_are_quantised_as_asked(made: Made, quant_type: Any, nested: bool) -> None:
    """In bitsandbytes' own modules: its code, and the code of its code's scales."""
    keys = {"bnb_4bit_quant_type": quant_type, "bnb_4bit_use_double_quant": nested}
    model = made(method="qlora4", **keys).model
    states = [module.weight.quant_state for module in model.modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert states
    assert {(state.quant_type, state.nested) for state in states} == {(quant_type, nested)}


def test_eight_bits_are_eight(made: Made) -> None:
    modules = [module for module in made(method="qlora8").model.modules() if isinstance(module, bnb.nn.Linear8bitLt)]
    assert modules
    assert {module.weight.dtype for module in modules} == {torch.int8}


def test_precisions_are_those_asked_for(made: Made) -> None:
    """Of weights, of adapters beside them, and of what autocast multiplies in."""
    trainer = made(dtype="bfloat16", mixed_precision="bf16")
    dtypes = {("lora_" in name, p.dtype) for name, p in trainer.model.named_parameters()}
    assert dtypes == {(False, torch.bfloat16), (True, torch.float32)}
    with trainer.accelerator.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16
    assert trainer.args.max_grad_norm == JOB.max_grad_norm
