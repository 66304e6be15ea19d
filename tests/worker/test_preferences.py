"""Preferences: the rehearsed step against TRL's own on real tensors."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset
from recipes import merged, orders, rehearsed
from test_rehearsal import MOE, NF4, SINGLE, check_expansion, curve
from transformers import AutoModelForCausalLM

from finefit.lower.layers import told
from finefit.nouns.recording import Recording
from finefit.tape.expand import expand
from finefit.tape.layers import few_of, kept_of
from finefit.tape.peaks import phase_peaks
from finefit.worker import rehearse, rehearsed_rows
from finefit.worker.build import add_adapter, cast_adapters, checkpoint_blocks, load_model, model_class, read_config
from finefit.worker.preferences import PreferenceTrainer, as_reference, preference_arguments
from finefit.worker.quantized import bnb_config
from finefit.worker.recorder import Recorder
from finefit.worker.stage import RecordedStage
from finefit.worker.synthetic import preferences_of
from finefit.worker.written import recording_json

pytestmark = pytest.mark.wide(4)

ADAPTER_OFF = {"name": "dpo", "reference": "adapter_off", "quantization": None}
MODEL = ADAPTER_OFF | {"reference": "model"}
PRECOMPUTED = ADAPTER_OFF | {"reference": "precomputed"}
HALF = {"dtype": "bfloat16"}
BY_ALL = {"gradient_checkpointing": "all"}
FULL: dict[str, Any] = {"peft": None}


def preferring(task: dict[str, Any] = ADAPTER_OFF, model_type: str = "llama", **changes: Any) -> dict[str, Any]:
    return merged(orders(model_type, task=task), changes)


def real_trainer(order: dict[str, Any], folder: str, recorder: Recorder) -> PreferenceTrainer:
    """TRL's own on real tensors; where the reference is precomputed, it is asked in here."""
    task, model = order["task"], order["model"]
    trained = add_adapter(random_model(model, load_model), order["peft"])
    reference = None
    if task["reference"] == "model":
        reference = as_reference(random_model(model | {"quantization": task["quantization"]}, unprepared))
    length = order["rehearsal"]["length"]
    trainer = PreferenceTrainer(
        model=trained,
        ref_model=reference,
        args=preference_arguments(order, rehearse._arguments(order), folder),
        train_dataset=Dataset.from_list(preferences_of(length, count=8, is_known=False)),
        processing_class=rehearsed_rows.tokenizer_for(order),
        stage=RecordedStage(recorder),
    )
    cast_adapters(trained, order["adapter_dtype"])
    checkpoint_blocks(trained, order["gradient_checkpointing"], order["peft"] is not None)
    return trainer


def random_model(words: dict[str, Any], load: Callable[[dict[str, Any]], Any]) -> Any:
    """`load`: from a folder, of what is quantised."""
    torch.manual_seed(0)
    dtype = getattr(torch, words["dtype"])
    config = read_config(words)
    model = model_class(config).from_config(config, dtype=dtype, attn_implementation=words["attn_implementation"])
    if not words["quantization"]:
        return model
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load(words | {"folder": folder})


def unprepared(words: dict[str, Any]) -> Any:
    """As TRL loads a reference: quantised, and nothing made float32 for training."""
    quantization, dtype = bnb_config(words["quantization"]), getattr(torch, words["dtype"])
    return AutoModelForCausalLM.from_pretrained(words["folder"], quantization_config=quantization, dtype=dtype)


def real_step(order: dict[str, Any]) -> Recording:
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = real_trainer(order, folder, recorder)
        trainer.train()
    return Recording.from_json(recording_json(recorder, trainer.model, trainer.ref_model))


RECIPES = {
    "lora, adapters off": preferring(),
    "lora, adapters off, checkpointed": preferring(**BY_ALL),
    "lora, adapters off, first layer checkpointed": preferring(gradient_checkpointing=1),
    "lora, adapters off, autocast, dropout": preferring(
        model=HALF, trainer={"bf16": True}, peft={"lora_dropout": 0.1}, **BY_ALL
    ),
    "lora, adapters off, eager, one pair": preferring(
        model={"attn_implementation": "eager"}, trainer={"per_device_train_batch_size": 1}
    ),
    "lora, beside a model": preferring(MODEL, model=HALF),
    "lora, precomputed, checkpointed": preferring(PRECOMPUTED, **BY_ALL),
    "4 bits, adapters off": preferring(model=NF4),
    "4 bits, adapters off, checkpointed, autocast": preferring(model=NF4, trainer={"bf16": True}, **BY_ALL),
    "4 bits, beside a model in 4 bits": preferring(MODEL | {"quantization": NF4["quantization"]}, model=NF4),
    "8 bits, adapters off": preferring(model=HALF | {"quantization": {"load_in_8bit": True}}),
    "full, beside a model": preferring(MODEL, **FULL),
    "full, beside a model, checkpointed": preferring(MODEL, model=HALF, **FULL, **BY_ALL),
    "full, beside a model, autocast": preferring(MODEL, trainer={"bf16": True}, **FULL),
    "full, beside a model in 4 bits": preferring(MODEL | {"quantization": SINGLE}, model=HALF, **FULL, **BY_ALL),
    "full, beside a model in 8 bits": preferring(
        MODEL | {"quantization": {"load_in_8bit": True}}, model=HALF, **FULL, **BY_ALL
    ),
    "full, precomputed": preferring(PRECOMPUTED, **FULL),
    "full, precomputed, autocast, checkpointed": preferring(PRECOMPUTED, trainer={"bf16": True}, **FULL, **BY_ALL),
    "experts": preferring(model_type="qwen3_moe", model={"config": MOE}),
    "sliding window": preferring(model_type="mistral", model={"config": {"sliding_window": 32}}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_rehearsal_of_preferences_equals_the_real_step(name: str) -> None:
    """It has the very peak of TRL's real step in every phase, the reference's among them, and the live bytes after
    every event."""
    fake, real = rehearsed(RECIPES[name]), real_step(RECIPES[name])
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real)
    assert (fake.parameters, fake.trainable_parameters) == (real.parameters, real.trainable_parameters)


def test_both_halves_take_the_same() -> None:
    """What is trained and its copy in 4 bits, both in float16, have the curve of both in bfloat16."""

    def beside(half: str) -> Recording:
        task = MODEL | {"quantization": SINGLE | {"bnb_4bit_compute_dtype": half}}
        return rehearsed(preferring(task, model={"dtype": half}, **FULL))

    assert curve(beside("float16")) == curve(beside("bfloat16"))


GPU = {
    "lora, adapters off": (preferring(device="cuda", **BY_ALL), "A" * 9),
    "lora, adapters off, nothing checkpointed": (
        preferring(device="cuda", model=HALF, trainer={"bf16": True}),
        "a" * 9,
    ),
    "lora, adapters off, some checkpointed": (preferring(device="cuda", gradient_checkpointing=7), "A" * 7 + "a" * 8),
    "4 bits, adapters off": (preferring(device="cuda", model=NF4, trainer={"bf16": True}, **BY_ALL), "A" * 9),
    "full, beside a model": (preferring(MODEL, device="cuda", model=HALF, **FULL, **BY_ALL), "A" * 9),
    "full, beside a model in 4 bits": (
        preferring(MODEL | {"quantization": SINGLE}, device="cuda", model=HALF, **FULL),
        "a" * 9,
    ),
    "full, precomputed": (preferring(PRECOMPUTED, device="cuda", trainer={"bf16": True}, **FULL), "a" * 9),
}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", GPU)
def test_a_few_layers_stand_for_many_with_their_reference(name: str) -> None:
    """On a GPU, a recording of a few layers, expanded, is the recording of all: every birth and death of the trained
    model's layers and of the reference's, in order, to the byte."""
    order, layers = GPU[name]
    order = merged(order, {"model": {"config": {"num_hidden_layers": len(layers)}}})
    few = few_of(layers)
    recordings = [rehearsed(order, each) for each in told(layers, few)]
    check_expansion(rehearsed(order), expand(recordings, [kept_of(layers, kept) for kept in few], layers))
