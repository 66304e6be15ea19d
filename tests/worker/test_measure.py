"""The measurement on a processor against the rehearsal of the same orders, and on a GPU up to the GPU."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import generations
import pytest
import recipes
import torch
from recipes import merged

from finefit.nouns.recording import Recording
from finefit.tape.peaks import phase_peaks
from finefit.worker import measure, rehearse

NF4 = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
}
MEASURED = recipes.orders(
    model={"config": {"tie_word_embeddings": True}},
    adapter_dtype="float32",
    gradient_checkpointing=1,
    loss="full",
    steps=2,
    with_trl=True,
    rehearsal={"takes": []},
)
RECIPES = {
    "full": merged(MEASURED, {"peft": None, "adapter_dtype": None}),
    "lora, without TRL": merged(MEASURED, {"with_trl": False}),
    "4 bits": merged(MEASURED, {"model": {"dtype": "bfloat16", "quantization": NF4}}),
    "8 bits, padded": merged(
        MEASURED,
        {
            "model": {"dtype": "bfloat16", "quantization": {"load_in_8bit": True}},
            "trainer": {"pad_to_multiple_of": 64, "bf16": True},
        },
    ),
    "packed, fused head": merged(MEASURED, {"trainer": {"padding_free": True}, "loss": "fused"}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_measurement_on_the_processor_equals_the_rehearsal(name: str, tmp_path: Path) -> None:
    """What the worker measures of its orders is, phase by phase and to the byte, what it rehearses of them."""
    told, answer = tmp_path / "orders.json", tmp_path / "answer.json"
    told.write_text(json.dumps(RECIPES[name]))
    peaks = []
    with contextlib.redirect_stdout(io.StringIO()):
        rehearse.main(str(told), str(answer))
        peaks.append(phase_peaks(Recording.from_json(json.loads(answer.read_text())["recordings"][0])))
        measure.main(str(told), str(answer))
    found = json.loads(answer.read_text())
    peaks.append(phase_peaks(Recording.from_json(found["recording"])))
    assert peaks[0] == peaks[1]
    assert found["measured_by"] == "recorder"
    assert found["stack"]["torch"]


class Counters:
    """What CUDA would count, of a card that is not there."""

    def __getattr__(self, name: str) -> Any:
        return lambda: {"device_bytes": 900, "allocated_peak": 500, "reserved_peak": 700}.get(name)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch and the driver answer as on a card; tensors stay on the processor."""
    monkeypatch.setattr(measure, "CudaCounters", Counters)
    monkeypatch.setattr(measure, "open_card", lambda: None)
    monkeypatch.setattr(measure.driver, "device_used", lambda: 1000)
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *_: 600)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda *_: {"num_ooms": 0, "segment.all.current": 3})


def test_a_gpu_is_read_at_every_border(card: None) -> None:
    """Bytes of every phase, seconds of every step, the driver's numbers, and the context as what is left of them."""
    found = measure._on_gpu(MEASURED | {"steps": 3})
    assert set(found["phases"]) == {"load", "forward", "backward", "optimizer", "resident"}
    assert (found["peak_bytes"], found["reserved_bytes"], found["device_bytes"]) == (500, 700, 900)
    assert found["device"]["context_bytes"] == 300
    assert found["device"]["used_before_bytes"] == found["device"]["used_peak_bytes"] == 1000
    assert found["step_seconds"]["median"] > 0
    assert found["loss"] > 0
    assert found["counters"] == {"num_ooms": 0, "segment.all.current": 3}
    assert found["out_of_memory"] is None


def test_memory_that_ran_out_is_a_result(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted until then is kept beside the allocator's words."""

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    found = measure._on_gpu(MEASURED)
    assert found["out_of_memory"] == "CUDA out of memory. Tried to allocate 2 GiB."
    assert found["phases"]["backward"] == 500
    assert found["step_seconds"] == {"first": None, "median": None}


ANSWER = {"point": [2, 20, 6]}


def test_an_answer_on_the_processor_equals_the_rehearsal() -> None:
    """Reading and writing: the peaks of the real answer are those of the rehearsed one."""
    order = generations.asked()
    found = measure.measured(order | ANSWER)
    fake = generations.rehearsed(merged(order, {"generation": {"steps": 5}}), (2, 20, 6))
    assert phase_peaks(Recording.from_json(found["recording"])) == phase_peaks(fake)
    assert found["measured_by"] == "recorder"


def test_of_an_answer_a_gpu_tells_loading_and_writing(card: None) -> None:
    """The bytes of both, what was reserved, and the context."""
    found = measure._on_gpu(generations.asked() | ANSWER)
    assert found["phases"] == {"load": 500, "writing": 500}
    assert (found["reserved_bytes"], found["device"]["context_bytes"]) == (700, 300)
    assert found["out_of_memory"] is None


def test_memory_that_ran_out_while_writing_is_a_result(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was counted until then."""

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("finefit.worker.measured_answer._write", full)
    found = measure._on_gpu(generations.asked() | ANSWER)
    assert found["out_of_memory"] == "CUDA out of memory."
    assert found["phases"] == {"load": 500, "writing": 500}
