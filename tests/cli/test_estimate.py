"""`finefit estimate`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, QLoRA
from finefit.nouns.task import DPO, SFT
from finefit.units import GIB

from .conftest import Cli


def test_json_is_alone_on_stdout(cli: Cli) -> None:
    """Everything else goes to stderr; notes are in the object."""
    said = cli("estimate", "gpt2", "--json", "--max-seq-length", "64", "--gpu", "T4")
    data = json.loads(said.out)
    assert (said.code, data["model"]["id"], data["recipe"]["max_length"]) == (0, "gpt2", 64)
    assert data["notes"][0] == "--max-seq-length: read as max_length"
    assert said.err == "rehearsing\n"


def test_an_estimate_is_shown(cli: Cli) -> None:
    """Without --json, people read it."""
    assert "allocated at the peak" in cli("estimate", "gpt2").out


def test_the_defaults_are_one_sequence_with_every_layer_checkpointed(cli: Cli) -> None:
    """Where no GPU is here, in the precision of the reference GPU; no longer than GPT-2's 1,024 positions."""
    cli("estimate", "gpt2")
    assert cli.api.asked["knobs"] == Knobs(max_length=1024)
    assert (cli.api.asked["method"], cli.api.asked["gpu"]) == (LoRA(), "auto")


@pytest.mark.parametrize(
    ("words", "knobs"),
    [
        ("--max-length 9 --batch-size 2", {"max_length": 9, "per_device_train_batch_size": 2}),
        ("--max_length 9 --batch_size=2", {"max_length": 9, "per_device_train_batch_size": 2}),
        ("--global-batch-size 8", {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}),
        (
            "--global-batch-size 8 --gradient-accumulation-steps 2",
            {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        ),
        ("--gradient-checkpointing none", {"gradient_checkpointing": 0}),
        ("--gradient-checkpointing auto", {"gradient_checkpointing": "all"}),
        ("--gradient-checkpointing 3", {"gradient_checkpointing": 3}),
        ("--gpu cpu", {"dtype": "float32", "mixed_precision": "no", "gradient_checkpointing": "all"}),
        ("--gpu T4", {"dtype": "float16", "mixed_precision": "fp16"}),
        ("--gpu T4 --dtype float32 --mixed-precision no", {"dtype": "float32", "mixed_precision": "no"}),
        ("--mixed-precision fp16", {"mixed_precision": "fp16"}),
        ("--loss full --optim adafactor", {"loss": "full", "optim": "adafactor"}),
        ("--attn-implementation eager --no-deepspeed", {"attn_implementation": "eager"}),
        ("--gpu 8xA100-80GB --zero-stage 3 --offload all", {"zero_stage": 3, "offload": "all", "fsdp": False}),
        ("--gpu 8xA100-80GB --fsdp", {"zero_stage": None, "offload": "none", "fsdp": True}),
        (
            "--gpu 4xA100-80GB --global-batch-size 16 --batch-size 2",
            {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        ),
    ],
)
def test_options_become_knobs(cli: Cli, words: str, knobs: dict[str, Any]) -> None:
    """Pinned is pinned; the rest is what a run on that GPU would choose."""
    said = cli("estimate", "gpt2", *words.split())
    assert said.code == 0, said.err
    asked = cli.api.asked["knobs"]
    assert {key: getattr(asked, key) for key in knobs} == knobs


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ("--method full", Full()),
        ("--use-lora --lora-r 8", LoRA(r=8)),
        ("--use-4bit --use-lora", QLoRA()),
        ("--use-lora --use-8bit", QLoRA(bits=8)),
        ("--method qlora4 --lora-r 8 --bnb-4bit-quant-type fp4", QLoRA(r=8, quant_type="fp4")),
        ("--method qlora4 --bnb-4bit-use-double-quant false", QLoRA(double_quant=False)),
        ("--lora.r 8 --lora-target-modules q_proj,v_proj", LoRA(r=8, target_modules=("q_proj", "v_proj"))),
    ],
)
def test_options_become_a_method(cli: Cli, words: str, method: object) -> None:
    """Today's names and old ones."""
    cli("estimate", "gpt2", *words.split())
    assert cli.api.asked["method"] == method


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("", SFT()),
        ("--task dpo", DPO("adapter_off")),
        ("--task dpo --method qlora4", DPO("adapter_off")),
        ("--task dpo --method full", DPO("model")),
        ("--task dpo --method full --reference-bits 4", DPO("model", 4)),
        ("--task dpo --reference model --reference-bits 8", DPO("model", 8)),
        ("--task dpo --precompute-ref-log-probs", DPO("precomputed")),
    ],
)
def test_options_become_a_task(cli: Cli, words: str, task: object) -> None:
    """Where nothing is said, preferences are compared as TRL does it: with adapters off, or beside a frozen copy."""
    said = cli("estimate", "gpt2", *words.split())
    assert said.code == 0, said.err
    assert cli.api.asked["task"] == task


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ("--method auto", ["method auto comes in a later"]),
        ("--reference model", ["--reference: means nothing here", "task is sft, which compares nothing"]),
        ("--task dpo --reference-bits 4", ["--reference-bits: means nothing here", "there is no copy"]),
        ("--task dpo --reference-bits 5 --reference model", ["'5' is not one of 4, 8"]),
        ("--task dpo --method full --reference adapter_off", ["--reference: there is nothing to turn off"]),
        (
            "--task dpo --method full --reference precomputed --reference-bits 4",
            ["--reference-bits: means nothing here", "the reference is precomputed"],
        ),
        ("--task dpo --loss full --max-length 2", ["--loss: means nothing here", "--max-length: there is no room"]),
        ("--task dpo --use-liger-kernel --gpu 4090", ["--use-liger-kernel: does not go with task dpo yet"]),
        ("--task dpo --image-size 20x20", ["--image-size: does not go with task dpo yet"]),
        ("--gpu RTX4091", ["--gpu: unknown GPU", "GeForce RTX 4090"]),
        ("--gpu 0xRTX4090", ["is no GPU"]),
        ("--gpu A100", ["may be any of"]),
        ("--max-lenght 3 --lora-r x", ["did you mean '--max-length'", "--lora-r: 'x' is not a whole number"]),
        ("--learning-rate 1e-4", ["--learning-rate: unknown option"]),
        ("--method full --lora-r 8", ["--lora-r: means nothing here"]),
        ("--gpu cpu --mixed-precision fp16", ["--mixed-precision: fp16 needs a GPU"]),
        ("--global-batch-size 8 --batch-size 3", ["--batch-size: 3 does not divide"]),
        ("--zero-stage 4 --gpu 2xRTX4090", ["--zero-stage: '4' is not one of 0, 1, 2, 3"]),
        ("--gpu 2xRTX4090 --global-batch-size 8 --batch-size 8", ["8 on 2 GPUs does not divide"]),
        ("--gpu 2xRTX4090 --zero-stage 1 --offload all", ["parameters stay in stage 1"]),
        ("--optim adamw", ["unknown optimizer"]),
        ("--gpu cpu --expandable-segments", ["--expandable-segments: means nothing here", "no caching allocator"]),
        ("--batch-size 2 --per-device-train-batch-size 2", ["given twice"]),
        ("--foo 1 --foo 2", ["--foo: given twice"]),
        ("--batch-size", ["--batch-size: needs a value"]),
    ],
)
def test_bad_recipes_end_with_two_and_all_their_problems(cli: Cli, words: str, fragments: list[str]) -> None:
    """Nothing is estimated for a recipe that has a problem."""
    said = cli("estimate", "gpt2", *words.split())
    assert (said.code, said.out, cli.api.asked) == (2, "", {})
    assert all(fragment in said.err for fragment in fragments), said.err


@pytest.mark.parametrize(
    ("device", "code", "verdict"),
    [((20, 21, 23), 0, "fits"), ((20, 21, 25), 0, "tight"), ((23, 25, 26), 3, "no")],
)
def test_what_cannot_fit_ends_with_three(cli: Cli, device: tuple[int, ...], code: int, verdict: str) -> None:
    """Not fitting is an answer, with its own code; a tight fit is one."""
    cli.api.device_bytes = tuple(part * GIB for part in device)
    said = cli("estimate", "gpt2", "--gpu", "4090", "--json")
    assert (said.code, json.loads(said.out)["verdict"]) == (code, verdict)


@pytest.mark.parametrize(
    ("words", "on"),
    [
        ("", False),
        ("--expandable-segments", True),
        ("--no-expandable-segments", False),
        ("--expandable_segments", True),
    ],
)
def test_segments_are_torchs_unless_one_says_so(cli: Cli, words: str, on: bool) -> None:
    """Off, as torch has it, and without a note: both switches are today's words."""
    said = cli("estimate", "gpt2", "--gpu", "4090", "--json", *words.split())
    assert (said.code, cli.api.asked["knobs"].expandable_segments) == (0, on)
    assert not any("segments" in note for note in json.loads(said.out)["notes"])
    assert json.loads(said.out)["recipe"]["expandable_segments"] is on


def test_images_are_asked_for_by_their_size(cli: Cli) -> None:
    """One in each sequence where no number is said, and none where no size is."""
    cli("estimate", "gpt2")
    assert cli.api.asked["images"] is None
    cli("estimate", "gpt2", "--image-size", "1280x720")
    assert cli.api.asked["images"] == Images(1280, 720)
    cli("estimate", "gpt2", "--image-size", "1280x720", "--images", "3", "--freeze-vision-tower")
    assert cli.api.asked["images"] == Images(1280, 720, 3)
    assert cli.api.asked["knobs"].freeze_vision_tower


@pytest.mark.parametrize(
    ("word", "meant"),
    [("", None), ("--vit-gradient-checkpointing", True), ("--no-vit-gradient-checkpointing", False)],
)
def test_the_tower_is_recomputed_as_the_rest_unless_one_says_so(cli: Cli, word: str, meant: bool | None) -> None:
    """Said, it is on or off."""
    assert cli("estimate", "gpt2", *word.split()).code == 0
    assert cli.api.asked["knobs"].vit_gradient_checkpointing is meant


def test_images_without_a_size_are_bad_input(cli: Cli) -> None:
    """How many, of which size?"""
    said = cli("estimate", "gpt2", "--images", "2")
    assert said.code == 2
    assert "size is not said" in said.err
