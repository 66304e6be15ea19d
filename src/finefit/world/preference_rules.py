"""What the keys of preferences (DPO) mean beside the others. Each rule is one function.

What TRL does was read and tried with TRL 1.16.
"""

from __future__ import annotations

from collections.abc import Iterator

from finefit.errors import Problem
from finefit.nouns.task import SHORTEST_PAIR
from finefit.search.preferences import INSTEAD, divider_of, task_of, why_not

from .given import Given

OF_PREFERENCES = ("reference", "reference_bits", "beta")


def preference_keys_need_the_task(given: Given) -> Iterator[Problem]:
    if given.job.task != "sft" or "task" in given.wrong:
        return  # a writer's keys are its own
    for key in OF_PREFERENCES:
        if key in given.entries:
            why = f"task is {given.job.task}, which compares nothing"
            yield Problem("means nothing here", where=given.where(key), why=why, hint="task dpo, or leave it out")


def a_reference_is_there(given: Given) -> Iterator[Problem]:
    if not _prefers(given) or given.wrong & {"reference", "method"}:
        return
    job = given.job
    if job.reference == "adapter_off" and job.method == "full":
        why = f"{given.where('method')} is full: there is no adapter"
        yield Problem("there is nothing to turn off", given.where("reference"), why, "reference model, or precomputed")
    if job.reference_bits is not None and job.reference != "model" and (job.reference or job.method != "full"):
        said = job.reference or "adapter_off, which is TRL's way with adapters"
        where, why = given.where("reference_bits"), f"the reference is {said}: there is no copy"
        yield Problem("means nothing here", where=where, why=why, hint="reference model, or leave it out")


def a_reference_suits_the_engine(given: Given) -> Iterator[Problem]:
    if not _prefers(given) or given.wrong & {"reference", "method", "zero_stage", "fsdp"}:
        return
    job, key = given.job, "fsdp" if given.job.fsdp else "zero_stage"
    if why := why_not(task_of(job), divider_of(job), is_packed=job.method.startswith("qlora")):
        yield Problem("the reference does not go with it", where=given.where(key, "reference"), why=why, hint=INSTEAD)


def the_loss_is_trls(given: Given) -> Iterator[Problem]:
    if not _prefers(given):
        return
    if given.has("loss") and given.job.loss not in (None, "fused"):
        why = "TRL's trainer of preferences has its own fused head, and builds no logits"
        yield Problem("means nothing here", where=given.where("loss"), why=why, hint="leave it out")
    if given.job.use_liger_kernel:
        where, why = given.where("use_liger_kernel"), "what Liger's kernels do beside a reference is not modelled"
        yield Problem("does not go with task dpo yet", where=where, why=why, hint="leave it out")


def preferences_show_nothing_yet(given: Given) -> Iterator[Problem]:
    if _prefers(given) and "image_size" in given.entries:
        where, why = given.where("image_size"), "two answers about images are not modelled"
        yield Problem("does not go with task dpo yet", where=where, why=why, hint="leave it out")


def preferences_have_no_dropout(given: Given) -> Iterator[Problem]:
    if _prefers(given) and given.has("lora_dropout") and given.job.lora_dropout:
        why = "TRL's trainer of preferences turns all dropout off, and compares the same model twice"
        yield Problem("means nothing here", where=given.where("lora_dropout"), why=why, hint="leave it out")


def a_row_has_two_answers(given: Given) -> Iterator[Problem]:
    if _prefers(given) and given.has("max_length") and (given.job.max_length or 0) < SHORTEST_PAIR:
        where, hint = given.where("max_length"), f"at least {SHORTEST_PAIR}"
        yield Problem("there is no room for a prompt and two answers that differ", where=where, hint=hint)


def _prefers(given: Given) -> bool:
    return given.job.task == "dpo" and "task" not in given.wrong


RULES = (
    preference_keys_need_the_task,
    a_reference_is_there,
    a_reference_suits_the_engine,
    the_loss_is_trls,
    preferences_show_nothing_yet,
    preferences_have_no_dropout,
    a_row_has_two_answers,
)
