"""A tiny model with its tokenizer and data, and runs of it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forked import Forked, Forker

WORDS = [f"w{number}" for number in range(90)]
ROWS = 22
"""Of them, with micro-batch 2 and accumulation 2, six steps are an epoch, and the last has one and a half batches."""
LONGEST_WORDS = 40
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + ' <end>' }}{% endgeneration %}"
    "{% else %}{{ '<user> ' + message['content'] + ' <answer> ' }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    special = ["<pad>", "<end>", "<user>", "<answer>"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int) -> None:
    """Every row of another length, in a mixed order."""
    with path.open("w") as file:
        for row in range(count):
            length = 2 + (row * 7) % count if row != count // 3 else LONGEST_WORDS
            words = [WORDS[(row * 5 + place) % len(WORDS)] for place in range(length)]
            question = {"role": "user", "content": words[0]}
            file.write(json.dumps({"messages": [question, {"role": "assistant", "content": " ".join(words)}]}) + "\n")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    write_rows(folder / "train.jsonl", ROWS)
    write_rows(folder / "eval.jsonl", 5)
    return {"train": str(folder / "train.jsonl"), "eval": str(folder / "eval.jsonl")}


OrdersMaker = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def orders(model_folder: Path, data: dict[str, str]) -> OrdersMaker:
    """Orders of a run of twelve steps; arguments replace entries of `trainer`, or of the orders themselves."""

    def make(**changes: Any) -> dict[str, Any]:
        trainer = {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "per_device_eval_batch_size": 2,
            "optim": "adamw_torch",
            "bf16": False,
            "fp16": False,
            "use_cpu": True,
            "max_length": None,
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "num_train_epochs": 2.0,
            "max_steps": -1,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "cosine",
            "assistant_only_loss": True,
            "seed": 42,
            "data_seed": 42,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 2,
            "save_total_limit": None,
            "eval_strategy": "no",
            "eval_steps": None,
        }
        made = {
            "device": "cpu",
            "model": {
                "config": {},
                "folder": str(model_folder),
                "dtype": "float32",
                "attn_implementation": "sdpa",
                "trust_remote_code": False,
                "quantization": None,
                "prepare": True,
            },
            "adapter_dtype": "float32",
            "peft": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": "all-linear"},
            "trainer": trainer,
            "gradient_checkpointing": 1,
            "loss": "fused",
            "data": data,
            "max_length": None,
            "save_total_limit": 2,
            "resume": False,
        }
        for key, value in changes.items():
            (trainer if key in trainer else made)[key] = value
        return made

    return make


class Run:
    """A run folder, and what a test does to it."""

    def __init__(self, path: Path, forker: Forker, orders: dict[str, Any]) -> None:
        self.path = path
        self._forker = forker
        self._orders = orders

    @property
    def log(self) -> Path:
        return self.path.with_suffix(".log")

    def start(self, resume: bool = False, environment: dict[str, str] | None = None) -> Forked:
        (self.path / "orders").mkdir(parents=True, exist_ok=True)
        (self.path / "orders" / "train.json").write_text(json.dumps(self._orders | {"resume": resume}))
        return self._forker.start("train", self.path, log=self.log, environment=environment)

    def finish(self, resume: bool = False) -> int:
        return self.start(resume).wait()

    def kill_when(self, reached: Callable[[], bool], number: int = signal.SIGKILL, resume: bool = False) -> int:
        worker = self.start(resume)
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.002)
        return worker.end(number)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        path = self.path / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # half-written when the worker was killed
        return [event for event in found if not name or event["event"] == name]

    def at_step(self, step: int) -> bool:
        """Whether the newest report is of `step` or later, in this process or an earlier one."""
        return any(event["step"] >= step for event in self.events("step"))

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.path / "checkpoints").iterdir())

    def curve(self) -> dict[int, tuple[float, ...]]:
        """What was computed at each step, as it was last reported."""
        keys = ("loss", "grad_norm", "learning_rate", "tokens")
        return {event["step"]: tuple(event[key] for key in keys) for event in self.events("step")}


@pytest.fixture(scope="session")
def new_run(tmp_path_factory: pytest.TempPathFactory, forker: Forker, orders: OrdersMaker) -> Callable[..., Run]:
    def make(**changes: Any) -> Run:
        return Run(tmp_path_factory.mktemp("runs") / "run", forker, orders(**changes))

    return make
