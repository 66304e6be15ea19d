"""Rows that share a sequence: packed as TRL packs, kept apart in it, and rehearsed as they are trained."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from recipes import SMALL, merged, orders, rehearsed
from test_rehearsal import curve, real_step
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from finefit.api import plan_job, train
from finefit.catalog.attention import APART
from finefit.errors import BadInput
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.nouns.recording import Recording
from finefit.nouns.schedule import Step
from finefit.tape.expand import storages_and_events
from finefit.tape.peaks import phase_peaks
from finefit.worker import rehearse
from finefit.worker.build import config_from_dict, model_class, read_config
from finefit.worker.packing import documents_of, fullness, longest_alone, packed
from finefit.worker.schedule import schedule_of
from finefit.worker.shorter import shorter_rows
from finefit.worker.synthetic import padding_tokenizer, row_of

LENGTHS = [3, 40, 17, 40, 9, 22, 5, 31, 12, 8, 26, 40, 2, 19]
ROOM = 40
ALONE = {"trainer": {"per_device_train_batch_size": 1, "padding_free": True}, "rehearsal": {"documents": 3}}
TWO = {"trainer": {"per_device_train_batch_size": 2, "padding_free": True}, "rehearsal": {"documents": 3}}
RECIPES = {
    "lora": orders(**ALONE),
    "lora, eager": orders(**ALONE, model={"attn_implementation": "eager"}),
    "lora, two sequences, checkpointed": orders(**TWO, gradient_checkpointing="all"),
    "full": orders(**ALONE, peft=None),
    "full, eager, whole logits": orders(**ALONE, peft=None, loss="full", model={"attn_implementation": "eager"}),
    "full, autocast": orders(**merged(TWO, {"trainer": {"bf16": True}}), peft=None),
    "sliding window": orders("mistral", **ALONE, peft=None),
}


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", RECIPES)
def test_a_packed_step_is_rehearsed_to_the_byte(name: str) -> None:
    """A rehearsal has the very peaks of the real packed step on the processor, and the live bytes after every event."""
    fake, real = rehearsed(RECIPES[name]), real_step(RECIPES[name])
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_documents_change_nothing_but_the_list_of_their_ends(attention: str) -> None:
    """However many of them a sequence has, on a processor: the same births and deaths, and all bytes but their ends."""
    few, many = (
        rehearsed(orders(**merged(ALONE, {"rehearsal": {"documents": n}}), model={"attn_implementation": attention}))
        for n in (2, 31)
    )
    assert few.events == many.events
    changed = {
        (one, other, few.kind_names[kind][0])
        for one, other, kind in zip(few.nbytes, many.nbytes, few.kinds, strict=True)
        if one != other
    }
    assert changed == {(4 * 3, 4 * 32, "batch")}


def test_a_sequence_of_one_document_has_no_mask() -> None:
    """It is another step, with fewer births: so the longest of both kinds are rehearsed."""
    alone, several = (rehearsed(orders(**merged(ALONE, {"rehearsal": {"documents": n}}))) for n in (1, 2))
    assert len(alone.events) < len(several.events)
    assert phase_peaks(alone)["peak"] < phase_peaks(several)["peak"]


CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_head": 4, "n_positions": 256, "n_layer": 3},
    "gpt_bigcode": {"n_embd": 64, "n_head": 4, "n_positions": 256, "n_layer": 3},
    "gptj": {"n_embd": 64, "n_head": 4, "n_positions": 256, "n_layer": 3, "rotary_dim": 8},
    "codegen": {"n_embd": 64, "n_head": 4, "n_positions": 256, "n_layer": 3, "rotary_dim": 8},
    "gemma3_text": {"head_dim": 16, "sliding_window": 6},
    "gemma2": {"head_dim": 16, "sliding_window": 6},
    "gemma": {"head_dim": 16},
    "mistral": {"sliding_window": 6},
    "qwen2": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    "qwen3": {"head_dim": 16},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 16},
    "qwen2_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 64,
    },
    "mixtral": {"num_local_experts": 4},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
}
ONE, OTHER = [7, 31, 5, 88, 42, 9, 60, 61, 17, 24, 5], [45, 7, 70, 13, 8, 8, 91, 30, 52]


@pytest.mark.wide(24)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", sorted({*APART, "opt"}))
def test_rows_of_one_sequence_do_not_see_each_other(kind: str, attention: str) -> None:
    """The logits of two rows that share a sequence are those of each alone, for all types that are packed; a type that
    makes a mask of its own is none of them."""
    config = config_from_dict({**SMALL, "model_type": kind, "vocab_size": 97, **CONFIGS.get(kind, {})})
    torch.manual_seed(0)
    try:
        model = model_class(config).from_config(config, attn_implementation=attention, dtype=torch.float32).eval()
    except ValueError:
        pytest.skip("has no sdpa")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        row = {"input_ids": ONE + OTHER, "seq_lengths": [len(ONE), len(OTHER)]}
        batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row])
        together = model(**{name: value for name, value in batch.items() if name != "labels"}, use_cache=False).logits
        alone = [model(input_ids=torch.tensor([ids]), use_cache=False).logits for ids in (ONE, OTHER)]
    apart = torch.cat(alone, dim=1)
    assert torch.allclose(together, apart, atol=1e-3 * float(apart.abs().max())) is (kind in APART)


def rows_of(lengths: list[int]) -> Dataset:
    return Dataset.from_list([{"input_ids": [n] * n, "labels": [n] * n} for n in lengths])


def test_rows_are_packed_as_trl_packs_them() -> None:
    """The very sequences of `SFTTrainer(packing=True)`: nothing is lost, and none is longer than there is room."""
    order = orders(peft=None)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = SFTTrainer(
            model=model_class(read_config(order["model"])).from_config(read_config(order["model"])),
            args=SFTConfig(
                output_dir=folder, use_cpu=True, bf16=False, report_to="none", packing=True, max_length=ROOM
            ),
            train_dataset=rows_of(LENGTHS),
            processing_class=padding_tokenizer(),
        )
    ours = packed(rows_of(LENGTHS), ROOM)
    assert ours.to_list() == trainer.train_dataset.to_list()
    assert trainer.padding_free
    assert sorted(n for row in ours["seq_lengths"] for n in row) == sorted(LENGTHS)
    assert max(map(len, ours["input_ids"])) <= ROOM
    assert packed(rows_of(LENGTHS), None).to_list() == ours.to_list()  # as long as the longest row


def test_trl_would_cut_what_is_too_long() -> None:
    """It packs the beginnings of such rows, without a word; so they are refused before."""
    longest = max(LENGTHS)
    cut = packed(rows_of(LENGTHS), longest - 1)
    assert sum(map(len, cut["input_ids"])) == sum(LENGTHS) - LENGTHS.count(longest)


def test_the_fullest_micro_batch_is_met_in_the_second_step() -> None:
    """As many of the longest sequences as a micro-batch has, together, in the second step where there is a whole
    micro-batch in its end, else in the first: none of the run has more tokens."""
    arguments = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "seed": 5,
        "padding_free": True,
        "eval_strategy": "no",
        "save_steps": 50,
    }
    for times, step in ((1, 0), (2, 1)):
        schedule = schedule_of(packed(rows_of(LENGTHS * times), ROOM), arguments, has_held_out=False)
        tokens = [[schedule.size(batch).length for batch in step] for step in schedule.steps()]
        assert tokens[step][-1] == max(map(max, tokens))


def test_of_sequences_that_come_one_by_one_those_with_a_mask_come_first() -> None:
    """A longer one of a single document is rehearsed beside them, and nothing is where there is none."""
    rows = packed(rows_of([30, 9, 8, 7]), 30)
    assert rows["seq_lengths"][:] == [[30], [9, 8, 7]]
    assert max(range(2), key=fullness(rows, 1, is_flat=True).__getitem__) == 1
    assert longest_alone(rows, [1], 1) == [0]
    assert longest_alone(rows, [0, 1], 2) == []
    assert fullness(rows, 2, is_flat=True) == [30 * 5 + 1, 24 * 5 + 3]


@pytest.mark.parametrize("documents", [[640], [600, 40], [639, 1], [64] * 10])
def test_shorter_sequences_keep_their_kind(documents: list[int]) -> None:
    """Those of several documents have several still, and the lengths of documents are all of the tokens."""
    row = row_of(sum(documents), 100) | {"seq_lengths": documents}
    for [shorter] in shorter_rows([row]):
        assert sum(shorter["seq_lengths"]) == len(shorter["input_ids"]) < sum(documents)
        assert (len(shorter["seq_lengths"]) > 1) is (len(documents) > 1)
    assert documents_of(97, 3) == [32, 32, 33]


Maker = Callable[..., Any]
PACKED = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "padding_free": True}
"""One micro-batch a step: others would be there meanwhile, with fewer tokens than a rehearsal supposes."""


@pytest.fixture(scope="module", params=["lora", "full", "one by one"])
def job(request: pytest.FixtureRequest, orders: Maker) -> dict[str, Any]:
    """Orders of a run whose rows share sequences, as long as the longest row."""
    made: dict[str, Any] = orders()
    made["trainer"] |= PACKED | ({"per_device_train_batch_size": 1} if request.param == "one by one" else {})
    return made | ({"peft": None, "loss": "full"} if request.param == "full" else {})


@pytest.fixture(scope="module")
def run(job: dict[str, Any], new_run: Maker) -> Any:
    made = new_run(**{key: job[key] for key in ("trainer", "peft", "loss")})
    assert made.finish() == 0, made.log.read_text()
    return made


def rehearsed_rows(job: dict[str, Any], **changes: Any) -> tuple[Recording, Any]:
    rehearsal = {"length": 0, "accumulation": 1, "layers": [None], "kinds": "aa", "takes": [], "shorter": True}
    rehearsal |= {"compute_capability": [8, 0], "attention_kernel": "auto", "hold_outputs": "no"}
    with contextlib.redirect_stdout(io.StringIO()):
        recording, data = rehearse._rehearse(merged(job, changes) | {"rehearsal": rehearsal}, None)
    return Recording.from_json(recording), data


def test_a_run_packs_its_rows_and_loses_none(run: Any, job: dict[str, Any]) -> None:
    """Steps are of sequences, every row's tokens are counted in each epoch, and the loss falls."""
    [loaded] = run.events("loaded")
    assert loaded["sequences"] < loaded["rows"] == 22
    size = job["trainer"]["per_device_train_batch_size"]
    assert run.events("done")[0]["steps"] == 2 * -(-loaded["sequences"] // size)
    rows = [json.loads(line)["messages"] for line in Path(job["data"]["train"]).read_text().splitlines()]
    marks = 3  # <user>, <answer> and <end>
    tokens = sum(marks + sum(len(message["content"].split()) for message in row) for row in rows)
    assert run.events("done")[0]["tokens"] == 2 * tokens
    before, after = run.events("eval")
    assert after["loss"] < before["loss"]
    assert run.events("reloaded")[0]["max_difference"] == 0.0


def test_a_run_takes_what_its_rehearsal_said(run: Any, job: dict[str, Any]) -> None:
    """The recorded steps of the run have the peaks of the rehearsal of its own rows, to the byte."""
    told, data = rehearsed_rows(job)
    real = Recording.from_json(json.loads((run.path / "recording.json").read_text()))
    assert phase_peaks(told) == phase_peaks(real)
    assert data.facts["packed_rows"] == run.events("loaded")[0]["sequences"]


def test_shorter_sequences_are_the_same_step(job: dict[str, Any]) -> None:
    """Rehearsed for a GPU: the same births and deaths with fewer tokens, and a schedule in tokens of micro-batches."""
    recording, data = rehearsed_rows(job, device="cuda")
    order = merged(job, {"device": "cuda", "rehearsal": {"shorter": True, "layers": [None], "accumulation": 1}})
    order["rehearsal"] |= {"compute_capability": [8, 0], "attention_kernel": "auto", "hold_outputs": "no", "length": 0}
    (length, told), *_ = rehearse._shorter(order, data)
    shorter = Recording.from_json(told)
    assert length < data.facts["batch_tokens"][0]
    assert storages_and_events(shorter)[1] == storages_and_events(recording)[1]
    met = [each.length for step in map(Step.from_json, data.schedule) for each in step.micro_batches]
    assert max(met) == data.facts["batch_tokens"][0]


class Quiet:
    """Hears nothing of a run."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_a_job_that_packs_ends_with_its_receipt(
    model_folder: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned, trained and measured: steps are of sequences, and what was predicted is what was measured."""
    monkeypatch.chdir(tmp_path)
    wishes = {"model": str(model_folder), "data": data["train"], "global_batch_size": 2, "packing": True}
    (tmp_path / "job.yaml").write_text(json.dumps(wishes | {"per_device_train_batch_size": 2, "max_length": 60}))
    job = str(tmp_path / "job.yaml")
    found = plan_job(job, {"gpu": "cpu"}, Quiet())
    assert isinstance(found, Plan)
    assert found.data is not None
    assert found.data.packed_rows is not None
    assert found.data.packed_rows < found.data.rows == 22
    assert (found.knobs.max_length, found.steps) == (60, -(-found.data.packed_rows // 2))
    told = train(job, {"gpu": "cpu"}, False, Quiet())
    assert isinstance(told, Receipt)
    assert told.steps == found.steps
    assert told.peak.predicted_bytes == told.peak.measured_bytes == found.ledger.peak_bytes
    with pytest.raises(BadInput, match="tokens, more than max_length 43"):
        plan_job(job, {"gpu": "cpu", "max-length": "43"}, Quiet())
    with pytest.raises(BadInput, match="packing auto is a question"):
        plan_job(job, {"gpu": "cpu", "packing": "auto"}, Quiet())
