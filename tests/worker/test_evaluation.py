"""Evaluation on held-out rows, rehearsed and real: the same code on the fullest batch."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from typing import Any

import pytest
import recipes
import torch
from recipes import rehearsed
from trl import SFTConfig

from finefit.nouns.recording import Recording
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.peaks import CUDA_BLOCK_BYTES, held_at, moments, phase_peaks
from finefit.worker import rehearse, rehearsed_rows
from finefit.worker.build import add_adapter, checkpoint_blocks, model_class, read_config
from finefit.worker.recorder import Recorder
from finefit.worker.stage import RecordedStage
from finefit.worker.trainer import Trainer
from finefit.worker.written import recording_json

pytestmark = pytest.mark.wide(4)

LENGTH, MICRO, MANY_WORDS = 96, 2, 100_000
LONGEST_TOKENS, INT64 = 1 + 40 + 3, 8
"""Of a row of the run's data (conftest.py), and bytes of a token."""


def orders(
    lora: bool, loss: str, device: str = "cpu", layers: int = 3, rows: int = MICRO, during: bool = False, **trainer: Any
) -> dict[str, Any]:
    """`rows` are evaluated together, `during` training or at its end."""
    return recipes.orders(
        device=device,
        model={"config": {"num_hidden_layers": layers}, "dtype": "bfloat16" if trainer.get("bf16") else "float32"},
        peft={"lora_dropout": 0.1} if lora else None,
        trainer={"per_device_eval_batch_size": rows, "eval_strategy": "steps" if during else "no", **trainer},
        gradient_checkpointing="all" if lora else 0,
        loss=loss,
        rehearsal={"evaluation": True},
    )


def really(order: dict[str, Any]) -> Recording:
    """The same trainer on real tensors; rows that are shorter stand first in its file."""
    config = read_config(order["model"])
    torch.manual_seed(0)
    dtype = getattr(torch, order["model"]["dtype"])
    model = add_adapter(model_class(config).from_config(config, dtype=dtype), order["peft"])
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        held_out = rehearsed_rows.held_out(order, rehearsed_rows.tokenizer_for(order))
        assert held_out is not None
        short = {"input_ids": [1] * 5, "labels": [1] * 5}
        trainer = Trainer(
            model=model,
            args=SFTConfig(output_dir=folder, **rehearse._arguments(order)),
            train_dataset=rehearsed_rows.dataset(order, rehearsed_rows.tokenizer_for(order)),
            eval_dataset=held_out.from_list([short] * MICRO + list(held_out)),
            processing_class=rehearsed_rows.tokenizer_for(order),
            stage=RecordedStage(recorder),
            loss=order["loss"],
        )
        checkpoint_blocks(model, order["gradient_checkpointing"], order["peft"] is not None)
        trainer.train()
        trainer.evaluate()
    return Recording.from_json(recording_json(recorder, model))


RECIPES = {
    "lora": orders(True, "fused"),
    "lora, whole logits": orders(True, "full"),
    "lora, on the way": orders(True, "fused", during=True),
    "full": orders(False, "fused"),
    "full, whole logits, on the way": orders(False, "full", during=True),
    "full, autocast": orders(False, "fused", bf16=True),
}


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", RECIPES)
def test_rehearsed_evaluation_equals_the_real_one_to_the_byte(name: str) -> None:
    """The peak of evaluation, and of every phase of training before it, is that of the real run."""
    expected = phase_peaks(really(RECIPES[name]))
    assert phase_peaks(rehearsed(RECIPES[name])) == expected
    assert expected["evaluation"] > expected["resident"]


def test_no_gradients_and_no_logits_are_alive_in_evaluation() -> None:
    """Weights, adapters and the optimizer's state are; whole logits never are, also where training builds them."""
    order = orders(True, "full", device="cuda", during=True)
    order["model"]["config"] |= {"vocab_size": MANY_WORDS}  # TRL's head takes them 32,768 at a time
    recording = rehearsed(order)
    fullest = [moment for segment, moment in moments(recording) if segment.phase == "evaluation"]
    position = max(fullest, key=lambda moment: moment.nbytes).position
    categories = {kind[0] for kind in held_at(recording, position)}
    assert {"weight", "adapter", "optimizer", "batch"} <= categories
    assert "gradient" not in categories
    sizes = {recording.nbytes[event - 1] for event in recording.events[recording.marks[-2][0] :] if event > 0}
    assert max(sizes) < MICRO * (LENGTH - 1) * MANY_WORDS * 2


def test_the_fullest_batch_is_recorded_alone() -> None:
    """One pass through the layers, each marked, with the head after them."""
    marks = [label for _, label in really(orders(True, "fused", during=True)).marks]
    evaluation = "2/0/evaluation"
    assert marks[-6:] == [evaluation, *(f"{evaluation}/{block}" for block in range(3)), evaluation, "end"]
    assert sum(label.startswith(evaluation) for label in marks) == 5


def test_evaluation_keeps_nothing_for_backward() -> None:
    """What a layer computes dies with it: more layers take no more beside what is resident."""

    def beside(layers: int) -> int:
        peaks = phase_peaks(rehearsed(orders(True, "fused", layers=layers)))
        return peaks["evaluation"] - peaks["resident"]

    assert beside(6) == beside(3)


def test_an_evaluation_without_rows_is_not_rehearsed() -> None:
    """Where nothing is held out there is no such phase."""
    order = orders(True, "fused")
    order["rehearsal"]["evaluation"] = False
    assert "evaluation" not in phase_peaks(rehearsed(order))


def test_more_held_out_rows_take_more() -> None:
    """Twice the rows at once: a higher peak in evaluation, and in no other phase."""
    one, two = (phase_peaks(rehearsed(orders(True, "fused", device="cuda", rows=rows))) for rows in (8, 16))
    assert two["evaluation"] > one["evaluation"]
    assert {k: v for k, v in one.items() if k not in ("evaluation", "peak")} == {
        k: v for k, v in two.items() if k not in ("evaluation", "peak")
    }


@pytest.mark.wide(1)
@pytest.mark.parametrize("during", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_evaluation_expands_over_layers_exactly(lora: bool, during: bool) -> None:
    """A recording of 5 layers with its evaluation, expanded to 9, is the recording of 9."""
    order = orders(lora, "fused", device="cuda", layers=9, during=during, bf16=not lora)
    few, more = ([layers, layers * lora] for layers in (5, 6))
    whole, layers = rehearsed(order), 9 * ("A" if lora else "a")
    expanded = expand([rehearsed(order, few), rehearsed(order, more)], [layers[:5], layers[:6]], layers)
    assert expanded is not None
    assert storages_and_events(expanded) == storages_and_events(whole)
    assert phase_peaks(expanded, CUDA_BLOCK_BYTES) == phase_peaks(whole, CUDA_BLOCK_BYTES)


@pytest.mark.parametrize("eval_steps", [None, 4])
def test_a_run_measures_its_evaluation(new_run: Any, orders: Any, eval_steps: int | None) -> None:
    """On its way or at its end, the fullest batch is recorded once, and the recording has what training took too."""
    run = new_run(eval_strategy="steps" if eval_steps else "no", eval_steps=eval_steps, num_train_epochs=1.0)
    assert run.finish() == 0, run.log.read_text()
    measured = phase_peaks(Recording.from_json(json.loads((run.path / "recording.json").read_text())))
    order = orders(eval_strategy="steps" if eval_steps else "no")
    order["rehearsal"] = {"accumulation": 2, "layers": [None], "hold_outputs": "no"}
    predicted = phase_peaks(rehearsed(order))
    assert list(measured) == list(predicted)
    unseen = 2 * 3 * MICRO * LONGEST_TOKENS * INT64 if eval_steps else 0  # the step's own batches, not recorded again
    assert predicted["evaluation"] - measured["evaluation"] == pytest.approx(unseen, abs=16)
    assert measured["evaluation"] > measured["resident"]
