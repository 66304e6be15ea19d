"""The measurement on a processor against the rehearsal of the same orders, and on a GPU up to the GPU."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from finefit.nouns.recording import Recording
from finefit.tape.peaks import phase_peaks
from finefit.worker import measure, rehearse

SMALL = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 0,
    "tie_word_embeddings": True,
}
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}
NF4 = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
}


def orders(
    model: dict[str, Any] | None = None, trainer: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "device": "cpu",
        "model": {
            "config": SMALL,
            "folder": None,
            "dtype": "float32",
            "attn_implementation": "sdpa",
            "trust_remote_code": False,
            "quantization": None,
            "prepare": True,
            **(model or {}),
        },
        "peft": LORA,
        "adapter_dtype": "float32",
        "trainer": {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "bf16": False,
            "fp16": False,
            "optim": "adamw_torch",
            "report_to": "none",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            "max_length": None,
            **(trainer or {}),
        },
        "gradient_checkpointing": 1,
        "loss": "full",
        "data": None,
        "steps": 2,
        "with_trl": True,
        "rehearsal": {
            "length": 96,
            "accumulation": 2,
            "layers": [None],
            "compute_capability": [8, 0],
            "attention_kernel": "auto",
            "hold_outputs": "no",
        },
    }
    return made | changes


RECIPES = {
    "full": orders(peft=None, adapter_dtype=None),
    "lora, without TRL": orders(with_trl=False),
    "4 bits": orders(model={"dtype": "bfloat16", "quantization": NF4}),
    "8 bits, padded": orders(
        model={"dtype": "bfloat16", "quantization": {"load_in_8bit": True}},
        trainer={"pad_to_multiple_of": 64, "bf16": True},
    ),
    "packed, fused head": orders(trainer={"padding_free": True}, loss="fused"),
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
