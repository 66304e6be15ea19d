"""What the keys of writing mean beside those of training. Each rule is one function."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.errors import Problem

from .given import Given

OF_WRITING = ("max_new_tokens", "num_beams", "cache_implementation", "base")
OF_BOTH = (
    *("model", "task", "method", "gpu", "dtype", "attn_implementation", "expandable_segments", "trust_remote_code"),
    *("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_dora", "use_rslora"),
    *("bnb_4bit_quant_type", "bnb_4bit_use_double_quant"),
    *("max_length", "per_device_train_batch_size"),
)
"""Of a prompt, and how many prompts are answered at once."""


def writing_keys_need_the_task(given: Given) -> Iterator[Problem]:
    if given.job.task == "generate" or "task" in given.wrong:
        return
    for key in OF_WRITING:
        if key in given.entries:
            why = f"task is {given.job.task}, which writes nothing"
            yield Problem("means nothing here", where=given.where(key), why=why, hint="task generate, or leave it out")


def training_keys_mean_nothing_to_a_writer(given: Given) -> Iterator[Problem]:
    if given.job.task != "generate" or "task" in given.wrong:
        return
    for key, entry in given.entries.items():
        if key not in (*OF_WRITING, *OF_BOTH):
            why = f"{given.where('task')} is generate, which trains nothing"
            hint = "finefit estimate MODEL --task generate" if key == "data" else "leave it out"
            yield Problem("means nothing here", where=entry.where, why=why, hint=hint)


def a_writer_has_one_gpu(given: Given) -> Iterator[Problem]:
    if given.job.task == "generate" and given.machine is not None and given.machine.count > 1:
        why = "what transformers spreads over several GPUs to write is not modelled"
        yield Problem("writing is computed for one GPU", where=given.where("gpu"), why=why, hint="one of them")


RULES = (writing_keys_need_the_task, training_keys_mean_nothing_to_a_writer, a_writer_has_one_gpu)
