"""`finefit estimate --task dpo`, of a small model."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from finefit import api
from finefit.cli.main import run
from finefit.errors import BadInput
from finefit.estimate.load import COPY, PACKED, Loading, loaded
from finefit.nouns.estimate import Estimate
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Line
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.recording import Recording
from finefit.nouns.task import DPO
from finefit.rehearsal.find import find
from finefit.rehearsal.recipe import Recipe
from finefit.run import worker
from finefit.tape.allocator import EMPTY_CACHE
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

from .conftest import CONFIG
from .estimate.test_load import ELEMENTS, PLAIN

GPU = "RTX4090"
FULL, ADAPTED = Full(), LoRA()
COPIED, QUANTISED, KNOWN, OFF = DPO("model"), DPO("model", 4), DPO("precomputed"), DPO("adapter_off")
MAXIMA = 2 * 4 * ELEMENTS // 64
"""What statistics of 4 bits take while they are quantised themselves."""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the model, and of the tapes of this file."""
    made = tmp_path_factory.mktemp("small")
    (made / "config.json").write_text(json.dumps(CONFIG))
    return made


@pytest.fixture(autouse=True)
def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEFIT_CACHE", str(folder))


def knobs(length: int) -> Knobs:
    return Knobs(max_length=length, per_device_train_batch_size=2)


@cache
def estimated(folder: Path, method: Method, task: DPO, length: int = 256) -> Estimate:
    return api.estimate(str(folder), method=method, knobs=knobs(length), gpu=GPU, task=task)


def recorded(folder: Path, method: Method, task: DPO) -> Recording:
    """That of the estimate."""
    estimated(folder, method, task)
    recipe = Recipe(find_model(str(folder)), method, knobs(256), machine_named(GPU), task=task)
    return find(recipe, lambda _: None).recording


def line_of(estimate: Estimate, what: str) -> Line | None:
    return next((line for line in estimate.ledger.lines if line.what.startswith(what)), None)


@pytest.mark.parametrize(
    ("method", "task"), [(FULL, COPIED), (FULL, QUANTISED), (FULL, KNOWN), (ADAPTED, OFF)], ids=str
)
def test_lines_add_up_to_the_peak(folder: Path, method: Method, task: DPO) -> None:
    """Each has its reason, and what both answers' logits take is one of them."""
    ledger = estimated(folder, method, task).ledger
    assert sum(line.nbytes for line in ledger.lines) == ledger.peak_bytes
    assert all(line.why for line in ledger.lines)
    logits = line_of(estimated(folder, method, task), "logits of both answers")
    assert logits is not None
    assert "1,018 tokens" in logits.why  # 2 × (255 + 254), since the last of a row predicts nothing


def test_a_frozen_copy_is_a_line(folder: Path) -> None:
    """As large as the weights, where it is not quantised; nothing where there is none."""
    copied, weights = (line_of(estimated(folder, FULL, COPIED), what) for what in ("reference model", "weights"))
    assert copied is not None
    assert weights is not None
    assert copied.nbytes == weights.nbytes == 2 * (ELEMENTS + PLAIN)
    assert line_of(estimated(folder, FULL, KNOWN), "reference model") is None
    assert line_of(estimated(folder, ADAPTED, OFF), "reference model") is None


def test_what_is_known_takes_no_more_than_what_is_asked(folder: Path) -> None:
    """Precomputed, beside a copy in 4 bits, beside a whole copy: allocated, reserved, and in the host's memory."""
    known, quantised, copied = (estimated(folder, FULL, task) for task in (KNOWN, QUANTISED, COPIED))
    peaks = [each.ledger.peak_bytes for each in (known, quantised, copied)]
    assert peaks == sorted(set(peaks))
    reserved = [each.ledger.reserved_bytes or 0 for each in (known, quantised, copied)]
    assert reserved == sorted(reserved)
    hosts = [each.host.ram_at("loading") for each in (known, quantised, copied) if each.host]
    assert hosts[0] == hosts[1] == hosts[2] - 2 * (ELEMENTS + PLAIN)


def test_longer_answers_take_more(folder: Path) -> None:
    """Twice as long, in every phase that answers go through."""
    short, long = (estimated(folder, FULL, COPIED, length).ledger for length in (256, 512))
    assert short.peak_bytes < long.peak_bytes
    assert all(short.phases[phase] < long.phases[phase] for phase in ("forward", "reference", "backward"))


def test_a_second_estimate_asks_no_worker(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What was rehearsed is replayed to the same ledger, through the command line too."""
    first = estimated(folder, FULL, COPIED)
    monkeypatch.setattr(worker, "ask", lambda *_: pytest.fail("the worker was asked"))
    words = ["--method", "full", "--max-length", "256", "--per-device-train-batch-size", "2", "--gpu", GPU]
    assert run(["estimate", str(folder), "--task", "dpo", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["bytes"] for line in told["memory"]["lines"]] == [line.nbytes for line in first.ledger.lines]
    assert (told["recipe"]["task"], told["recipe"]["reference"]) == ("dpo", "model")
    assert run(["estimate", str(folder), "--task", "dpo", *words]) == 0
    said = capsys.readouterr().out
    assert "DPO: full fine-tuning" in said
    assert "a frozen copy of the model" in said


def test_what_was_not_held_against_a_run_is_refused(folder: Path) -> None:
    """Before anything is asked: another loss, an adapter that is not there, and references that do not go with what an
    engine divides."""
    for method, changes, task, words in (
        (ADAPTED, {"loss": "full"}, OFF, "another loss"),
        (FULL, {}, OFF, "no adapter to turn off"),
        (FULL, {"fsdp": True}, COPIED, "one unit of the frozen copy"),
        (QLoRA(), {"zero_stage": 3}, COPIED, "a packed copy"),
        (ADAPTED, {"zero_stage": 3}, KNOWN, "asked before training"),
    ):
        asked = replace(knobs(256), **changes)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match=words):
            api.estimate(str(folder), method=method, knobs=asked, gpu="2xRTX4090", task=task)


def test_a_model_that_sees_is_not_asked_yet() -> None:
    """No rehearsal of two answers about images was held against a real step."""
    with pytest.raises(BadInput, match="does not go with"):
        api.estimate("Qwen/Qwen2-VL-2B-Instruct", method=ADAPTED, knobs=knobs(256), gpu=GPU, task=OFF)


@pytest.mark.parametrize(("method", "task"), [(FULL, QUANTISED), (QLoRA(), DPO("model", 8))], ids=str)
def test_a_quantised_copy_passes_in_full_precision(folder: Path, method: Method, task: DPO) -> None:
    """After what is trained: one block for all of it, then weight after weight; nothing of it becomes float32. The same
    is alive at the end."""
    recording = recorded(folder, method, task)
    history = loaded(recording, "bfloat16")
    extra = list(history.nbytes[len(recording.nbytes) :])
    copy = [ELEMENTS // 2 + 2 * PLAIN, 2 * ELEMENTS + MAXIMA] if task.reference_bits == 4 else [ELEMENTS + 2 * PLAIN]
    trained = extra.index(copy[0]) if isinstance(method, QLoRA) else 0
    if task.reference_bits == 8:
        copy.append(4 * ELEMENTS)
        assert sum(extra[:trained]) == ELEMENTS // 2 + 4 * PLAIN + 2 * ELEMENTS + MAXIMA
    assert [extra[trained], sum(extra[trained + 1 :])] == copy
    assert history.events.count(EMPTY_CACHE) == (1 if isinstance(method, QLoRA) else 0)
    alive = {event for event in history.events if event > 0} - {
        -event for event in history.events if event != EMPTY_CACHE
    }
    there = {event for event in recording.events if event > 0} - {-event for event in recording.events}
    assert alive == there


def test_a_packed_copy_comes_as_it_is(folder: Path) -> None:
    """No weight passes in full precision, of neither: a little less than a block each."""
    recording = recorded(folder, QLoRA(), DPO("model", 8))
    extra = loaded(recording, "bfloat16", Loading(is_packed=True)).nbytes[len(recording.nbytes) :]
    packed = [kind for kind, name in enumerate(recording.kind_names) if name[3] == PACKED and name[0] == COPY]
    assert packed
    assert max(extra) == ELEMENTS + 2 * PLAIN
    assert ELEMENTS * 2 not in extra
