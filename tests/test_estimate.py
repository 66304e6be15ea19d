"""Two published runs, through the command line as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finefit import api
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import LoRA, QLoRA

GIB = 1 << 30
MIB = 1 << 20


def estimate(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "finefit", "estimate", *words, "--json"], capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_lora_of_llama_8b_equals_the_published_run() -> None:
    """Llama-3.1-8B, LoRA, Hugging Face Trainer with whole logits, 4 × 2048 tokens: 28.9 GiB were measured."""
    answer = estimate(
        "meta-llama/Llama-3.1-8B", "--gpu", "A100-80GB", "--method", "lora",
        "--lora-r", "16", "--lora-target-modules", "q_proj,v_proj", "--lora-dropout", "0.05",
        "--per-device-train-batch-size", "4", "--max-length", "2048", "--gradient-checkpointing", "all",
        "--attn-implementation", "eager", "--loss", "full", "--optim", "adamw_torch",
    )  # fmt: skip
    memory = answer["memory"]
    assert memory["allocated_bytes"] / GIB == pytest.approx(28.9, rel=0.01)
    assert memory["peak_phase"] == "backward"
    assert answer["model"]["parameters"] == 8_030_261_248 + 6_815_744
    assert answer["model"]["trainable_parameters"] == 6_815_744
    assert sum(line["bytes"] for line in memory["lines"]) == memory["allocated_bytes"]
    assert all(line["why"] for line in memory["lines"])
    assert memory["reserved_bytes"] > memory["allocated_bytes"]
    assert memory["allocated_bytes"] <= memory["reserved_low_bytes"] <= memory["reserved_high_bytes"]
    assert memory["low_bytes"] <= memory["device_bytes"] <= memory["high_bytes"]
    assert memory["smallest_bytes"] is None  # there is room for the worst case
    widths = [sum(reason[side] for reason in memory["uncertainty"]) for side in ("below_bytes", "above_bytes")]
    assert widths == [memory["device_bytes"] - memory["low_bytes"], memory["high_bytes"] - memory["device_bytes"]]
    assert answer["verdict"] == "fits"


def test_a_t4s_allocator_is_replayed() -> None:
    """SmolLM2-360M, LoRA, 1 × 4096 tokens on a T4: 3.667 GiB allocated and 3.820 GiB reserved were measured."""
    answer = api.estimate(
        "HuggingFaceTB/SmolLM2-360M",
        method=LoRA(32, 64, 0.0, ("q_proj", "k_proj", "v_proj", "o_proj")),
        knobs=Knobs(
            max_length=4096, dtype="float16", mixed_precision="no", optim="adamw_torch", loss="full"
        ),
        gpu="T4-16GB",
        loop=Loop(attention_kernel="efficient", hold_outputs="step", adapter_dtype="float32"),
    )  # fmt: skip
    assert answer.ledger.peak_bytes / GIB == pytest.approx(3754.777 / 1024, rel=0.001)
    assert answer.ledger.reserved_bytes is not None
    assert answer.ledger.reserved_bytes / GIB == pytest.approx(3912 / 1024, rel=0.01)
    device = answer.ledger.device
    assert device is not None
    assert device.low <= (3912 + 140.875) * MIB <= device.high, "what the card showed: reserved, and its context"
    assert device.typical == pytest.approx((3912 + 140.875) * MIB, rel=0.01)
    assert answer.verdict == "fits"


def test_full_fine_tuning_in_pure_bfloat16_takes_ten_bytes_a_parameter() -> None:
    """Mistral-7B, 8 × 4096 tokens: 6 bytes a parameter stay, the optimizer step needs 10; 67.459 GiB measured."""
    answer = estimate(
        "mistralai/Mistral-7B-v0.1", "--gpu", "A100-80GB", "--method", "full",
        "--mixed-precision", "no", "--optim", "adamw_torch", "--loss", "full",
        "--attn-implementation", "flash_attention_2", "--per-device-train-batch-size", "8", "--max-length", "4096",
    )  # fmt: skip
    memory, parameters = answer["memory"], answer["model"]["parameters"]
    assert memory["peak_phase"] == "optimizer"
    assert memory["allocated_bytes"] / GIB == pytest.approx(67.459, rel=0.001)
    assert memory["allocated_bytes"] / parameters == pytest.approx(10, rel=0.01)
    assert memory["phases"]["resident"] / parameters == pytest.approx(6, rel=0.01)


def test_a_vision_model_says_what_is_left_out() -> None:
    """The figures of a small Qwen2-VL are for text alone, and the answer says so; its tower is counted."""
    model = Path(__file__).parent.parent / "examples" / "pictures" / "model"
    answer = estimate(str(model), "--gpu", "RTX4090", "--max-length", "512")
    assert any("text alone" in note for note in answer["notes"])
    assert answer["model"]["parameters"] > 207_808


def test_a_quantised_model_is_loaded_before_it_is_trained() -> None:
    """Qwen2.5-0.5B in NF4 with double quantisation, 1 × 1024 tokens on an RTX 4080: 3.1158 GiB were allocated, and
    3.3027 GiB reserved, in which the blocks that the load left behind have their part.
    """
    answer = api.estimate(
        "Qwen/Qwen2.5-0.5B-Instruct",
        method=QLoRA(4, 16, 16, 0.0, ("q_proj", "k_proj", "v_proj", "o_proj")),
        knobs=Knobs(max_length=1024, mixed_precision="no", optim="paged_adamw_8bit", loss="full"),
        gpu="RTX4080",
        loop=Loop(attention_kernel="math", hold_outputs="next", adapter_dtype="float32"),
    )
    assert answer.ledger.peak_bytes / GIB == pytest.approx(3.1158, rel=0.0002)
    assert answer.ledger.reserved_bytes is not None
    assert answer.ledger.reserved_bytes / GIB == pytest.approx(3.3027, rel=0.001)
