"""TRL's SFTTrainer as its documentation has it, in a process of its own: `by_trl.py ORDERS`, which are JSON.

Says one JSON object on its last line; ends with 3 where memory ran out. Its peak is what tensors took on a GPU, and the
largest size of the process where there is none.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

OUT_OF_MEMORY = 3


class Counted(SFTTrainer):
    """Tokens of the rows, without padding."""

    tokens = 0

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        self.tokens += sum(int(batch["attention_mask"].sum()) for batch in batches)
        return batches, items


class Clock(TrainerCallback):
    """Of every step, when it ended and how many tokens it had read."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append((time.perf_counter(), self.trainer.tokens))


def main(asked: dict[str, Any]) -> int:
    is_gpu = torch.cuda.is_available() and not asked["cpu"]
    if is_gpu and asked["budget_bytes"]:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(asked["budget_bytes"] / whole)
    clock = Clock()
    try:
        trainer = _trainer(asked, is_gpu, clock)
        clock.trainer = trainer
        trainer.train()
    except torch.cuda.OutOfMemoryError as full:
        print(full, file=sys.stderr)
        return OUT_OF_MEMORY
    (start, before), (stop, after) = clock.ends[asked["warming"] - 1], clock.ends[-1]
    peak = torch.cuda.max_memory_allocated() if is_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {
        "checkpointed": "all" if trainer.args.gradient_checkpointing else 0,
        "tokens_per_second": (after - before) / (stop - start),
        "peak_bytes": peak,
        "reserved_bytes": torch.cuda.max_memory_reserved() if is_gpu else None,
    }
    print(json.dumps(told))
    return 0


def _trainer(asked: dict[str, Any], is_gpu: bool, clock: Clock) -> Counted:
    method = asked["method"]
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="bfloat16"
    )
    model = AutoModelForCausalLM.from_pretrained(
        asked["model"],
        dtype=torch.bfloat16 if is_gpu else torch.float32,
        quantization_config=four_bits if method == "qlora4" else None,
    )
    args = SFTConfig(
        output_dir="unused", max_steps=asked["steps"], max_length=None, save_strategy="no", report_to="none",
        use_cpu=not is_gpu, bf16=is_gpu, disable_tqdm=True, **asked["trainer"],
    )  # fmt: skip
    adapters = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return Counted(
        model=model,
        args=args,
        train_dataset=load_dataset("json", data_files=asked["data"], split="train"),
        processing_class=AutoTokenizer.from_pretrained(asked["model"]),
        peft_config=None if method == "full" else adapters,
        callbacks=[clock],
    )


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
