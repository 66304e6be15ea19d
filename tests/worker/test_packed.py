"""Checkpoints that bitsandbytes has quantised already: saved, rehearsed and trained, for real, on the processor."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recipes import merged, orders, rehearsed
from test_rehearsal import curve
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig

from finefit import api
from finefit.errors import BadInput
from finefit.lower.orders import base_orders
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import QLoRA
from finefit.nouns.model import Model
from finefit.nouns.plan import Plan
from finefit.nouns.recording import Recording
from finefit.nouns.sampling import Sampling
from finefit.rehearsal.recipe import Recipe
from finefit.search.packed import beside_packed
from finefit.tape.peaks import phase_peaks
from finefit.worker import rehearse, rehearsed_rows
from finefit.worker.build import add_adapter, checkpoint_blocks, load_model, model_class, read_config
from finefit.worker.quantized import bnb_config, is_quantized
from finefit.worker.recorder import Recorder
from finefit.worker.stage import RecordedStage
from finefit.worker.trainer import Trainer
from finefit.worker.written import recording_json

FOUR = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "nf4, double": FOUR | {"bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"},
    "fp4": FOUR | {"bnb_4bit_quant_type": "fp4", "bnb_4bit_compute_dtype": "float16"},
    "some modules left out": FOUR | {"llm_int8_skip_modules": ["lm_head", "q_proj", "model.layers.1.mlp"]},
    "stored as bfloat16": FOUR | {"bnb_4bit_quant_storage": "bfloat16"},
    "8 bits": {"load_in_8bit": True},
    "8 bits, some modules left out": {"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head", "down_proj"]},
}


def packed_by(words: dict[str, Any], plain: Path, folder: Path) -> Path:
    """The plain folder's weights, quantised."""
    model: Any = AutoModelForCausalLM.from_pretrained(plain, quantization_config=bnb_config(words))
    model.save_pretrained(folder)
    return folder


def save_packed(folder: Path, words: dict[str, Any]) -> Model:
    """A small model with random weights, quantised by bitsandbytes and saved by transformers."""
    torch.manual_seed(0)
    config = read_config(orders()["model"])
    model_class(config).from_config(config, dtype=torch.bfloat16).save_pretrained(folder / "plain")
    packed = packed_by(words, folder / "plain", folder / "packed")
    return Model(id="packed", config=json.loads((packed / "config.json").read_text()), folder=str(packed))


def order_of(model: Model, bits: Any) -> dict[str, Any]:
    """As finefit lowers it for a processor that trains in bfloat16."""
    method, _ = beside_packed(QLoRA(bits=bits, r=8), model)
    knobs = Knobs(max_length=96, dtype="bfloat16")
    lowered = base_orders(model, method, knobs, Machine(None), trust_remote_code=False)["model"]
    return merged(orders(), {"model": lowered})


def real_step(order: dict[str, Any], folder: Path) -> Recording:
    """The checkpoint loaded, and two optimizer steps of it trained and recorded."""
    recorder = Recorder()
    with contextlib.redirect_stdout(io.StringIO()):
        model = add_adapter(load_model(order["model"]), order["peft"])
        trainer = Trainer(
            model=model,
            args=SFTConfig(output_dir=str(folder), **rehearse._arguments(order)),
            train_dataset=rehearsed_rows.dataset(order, rehearsed_rows.tokenizer_for(order)),
            processing_class=rehearsed_rows.tokenizer_for(order),
            stage=RecordedStage(recorder),
            loss=order["loss"],
        )
        checkpoint_blocks(model, order["gradient_checkpointing"], has_adapter=True)
        trainer.train()
    return Recording.from_json(recording_json(recorder, model))


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_packed_checkpoint_is_rehearsed_to_the_byte(name: str, tmp_path: Path) -> None:
    """Its own words decide what is packed and how; the real step, trained from its files, has the rehearsal's bytes."""
    words = CHECKPOINTS[name]
    order = order_of(save_packed(tmp_path, words), 8 if "load_in_8bit" in words else 4)
    fake, real = rehearsed(order), real_step(order, tmp_path)
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real)
    assert (fake.parameters, fake.trainable_parameters) == (real.parameters, real.trainable_parameters)


def test_a_packed_configuration_is_enough(tmp_path: Path) -> None:
    """Without its folder it has the same tape; so has the same model that is quantised as it is loaded."""
    packed = save_packed(tmp_path, CHECKPOINTS["nf4, double"])
    plain = Model("plain", {key: value for key, value in packed.config.items() if key != "quantization_config"})
    found = [recipe(replace(packed, folder=None)), recipe(plain)]
    assert found[0].key == found[1].key
    assert rehearsed(order_of(replace(packed, folder=None), 4)) == rehearsed(order_of(packed, 4))
    left_out = {**packed.config["quantization_config"], "llm_int8_skip_modules": ["lm_head", "q_proj"]}
    others = replace(packed, folder=None, config={**packed.config, "quantization_config": left_out})
    assert recipe(others).key != found[0].key


def recipe(model: Model) -> Recipe:
    return Recipe(model, beside_packed(QLoRA(), model)[0], Knobs(max_length=96), Machine(None))


def test_packed_weights_are_loaded_as_they_are(tmp_path: Path) -> None:
    """Nothing is quantised twice, what is left out has the asked dtype's values, and the job's dtype multiplies."""
    model = save_packed(tmp_path, CHECKPOINTS["some modules left out"])
    order = order_of(model, 4)["model"]
    loaded = load_model(order)
    assert not is_quantized(loaded.model.layers[0].self_attn.q_proj)
    assert not is_quantized(loaded.model.layers[1].mlp.up_proj)
    assert is_quantized(loaded.model.layers[0].mlp.up_proj)
    assert loaded.model.layers[0].mlp.up_proj.compute_dtype is torch.bfloat16
    again = load_model(order | {"folder": str(tmp_path / "plain")})
    ours, theirs = loaded.model.layers[0].mlp.up_proj.weight, again.model.layers[0].mlp.up_proj.weight
    assert torch.equal(ours.data, theirs.data)


def test_layers_that_quantisation_tells_apart_are_rehearsed_each(tmp_path: Path) -> None:
    """A module that is left out of it in one layer alone: no few layers stand for all."""

    def alike(words: dict[str, Any]) -> bool:
        order = merged(
            orders(), {"model": {"quantization": words}, "rehearsal": {"layers": [[[0, 1], 0]], "takes": []}}
        )
        (tmp_path / "orders.json").write_text(json.dumps(order))
        rehearse.main(str(tmp_path / "orders.json"), str(tmp_path / "answer.json"))
        return bool(json.loads((tmp_path / "answer.json").read_text())["alike"])

    assert alike(FOUR | {"llm_int8_skip_modules": ["lm_head", "q_proj"]})
    assert not alike(FOUR | {"llm_int8_skip_modules": ["lm_head", "model.layers.1.mlp"]})


class Heard:
    """An observer of whom only the plan is asked."""

    def __init__(self) -> None:
        self.plan: Plan | None = None

    def note(self, text: str) -> None: ...

    def stage(self, text: str) -> None: ...

    def planned(self, plan: Plan) -> None:
        self.plan = plan

    def event(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def job(model_folder: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """On a checkpoint in 4 bits, of a type that the job does not name."""
    monkeypatch.chdir(tmp_path)
    packed = packed_by(FOUR | {"bnb_4bit_quant_type": "fp4"}, model_folder, tmp_path / "packed")
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(packed)
    wishes = {"model": str(packed), "data": data["train"], "method": "qlora4", "gpu": "cpu", "max_steps": 2}
    (tmp_path / "job.yaml").write_text(json.dumps(wishes | {"global_batch_size": 4}))
    return "job.yaml"


def test_a_run_on_a_packed_checkpoint_takes_what_was_planned(job: str) -> None:
    """From the job to the receipt: the plan says what it found, and the step took the bytes that were said."""
    heard = Heard()
    receipt = api.train(job, {}, resume=False, observer=heard)
    assert heard.plan is not None
    assert [note for note in heard.plan.notes if "quantised already, as fp4 without double" in note]
    assert heard.plan.method == QLoRA(quant_type="fp4", double_quant=False)
    assert receipt.peak.predicted_bytes == receipt.peak.measured_bytes
    assert all(gap.predicted_bytes == gap.measured_bytes for gap in receipt.phases)


@pytest.mark.parametrize("method", ["full", "lora", "qlora8"])
def test_methods_that_a_packed_checkpoint_has_no_weights_for_are_refused(job: str, method: str) -> None:
    """Before anything runs, with the method that goes."""
    with pytest.raises(BadInput, match=rf"{method} does not go with (.|\n)*qlora4"):
        api.plan_job(job, {"method": method}, Heard())


def test_a_packed_checkpoint_answers(job: str) -> None:
    """It generates as it is, without a run."""
    assert len(api.generate("packed", ["w1 w2"], Sampling(3))) == 1
