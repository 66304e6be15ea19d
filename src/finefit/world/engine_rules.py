"""What the keys of the engines mean together: DeepSpeed's ZeRO, FSDP2, offload. Each rule is one function.

What libraries refuse was read and tried with deepspeed 0.19.8, accelerate 1.15, bitsandbytes 0.50.2, torch 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator

from finefit.catalog.optimizers import OPTIMIZERS
from finefit.errors import Problem
from finefit.search.engine import DORA_READS, INSTEAD_OF_ZERO3

from .given import Given


def one_engine(given: Given) -> Iterator[Problem]:
    if given.job.fsdp and given.job.zero_stage is not None:
        why = "transformers takes one of both"
        yield Problem("fsdp and zero_stage exclude each other", where=given.where("zero_stage"), why=why)


def engines_need_ranks(given: Given) -> Iterator[Problem]:
    if given.machine is None or not given.machine.is_cpu:
        return
    if given.has("fsdp") and given.job.fsdp and given.machine.count > 1:
        why = "accelerate makes DDP of it on a processor, without a word (1.15, state.py)"
        yield Problem("FSDP2 does not run here", where=given.where("fsdp"), why=why, hint="zero_stage: 3")
        return
    for key, is_given in (("zero_stage", given.job.zero_stage is not None), ("fsdp", given.job.fsdp)):
        if given.has(key) and is_given and given.machine.count == 1:
            why = "the processor is one rank" + ("" if "gpu" in given.entries else ", and no GPU is here")
            yield Problem("means nothing here", where=given.where(key), why=why, hint="gpu: 2xcpu, or leave it out")


def offload_needs_an_engine(given: Given) -> Iterator[Problem]:
    job = given.job
    if not given.has("offload") or job.offload in (None, "none") or given.wrong & {"zero_stage", "fsdp"}:
        return
    where = given.where("offload")
    if job.fsdp and job.offload == "optimizer":
        yield Problem("FSDP2 offloads parameters and the optimizer's state together", where=where, hint="offload: all")
    elif not job.fsdp and not job.zero_stage:
        why = "it is DeepSpeed's ZeRO 1 to 3, or FSDP2, that offload"
        yield Problem("there is nothing that would offload", where=where, why=why, hint="zero_stage: 3")
    elif job.offload == "all" and job.zero_stage in (1, 2):
        why = "DeepSpeed offloads parameters in stage 3 alone, and ignores it elsewhere without a word"
        yield Problem(f"parameters stay in stage {job.zero_stage}", where=where, why=why, hint="offload: optimizer")


def eight_bits_are_not_divided(given: Given) -> Iterator[Problem]:
    job = given.job
    if job.method != "qlora8":
        return
    if job.zero_stage == 3:
        why = "bitsandbytes keeps the whole 8-bit weight beside its part, so dividing it saves nothing"
        yield Problem(
            "qlora8 gains nothing from stage 3", where=given.where("zero_stage", "method"), why=why,
            hint="method qlora4, or zero_stage: 2",
        )  # fmt: skip
    if job.fsdp:
        why = "bitsandbytes' 8-bit weights cannot be wrapped: 'Parameter' object has no attribute 'CB'"
        yield Problem("qlora8 does not run under FSDP2", where=given.where("fsdp", "method"), why=why, hint="qlora4")


def dora_reads_whole_weights(given: Given) -> Iterator[Problem]:
    job = given.job
    if job.use_dora and job.method != "full" and job.zero_stage == 3 and not given.wrong & {"use_dora", "method"}:
        where = given.where("use_dora")
        yield Problem("use_dora does not go with ZeRO 3", where=where, why=DORA_READS, hint=INSTEAD_OF_ZERO3)


def optimizers_suit_the_engine(given: Given) -> Iterator[Problem]:
    job, optim = given.job, given.job.optim
    if optim is None or "optim" in given.wrong or (job.zero_stage is None and not job.fsdp):
        return
    where = given.where("optim")
    known = ", ".join(name for name, one in OPTIMIZERS.items() if not job.fsdp or (one.bits == 32 and not one.is_paged))
    if optim not in OPTIMIZERS:
        why = "what it keeps for flat parameters is not known here"
        yield Problem(f"{optim} is not modelled under an engine", where=where, why=why, hint=f"one of {known}")
    elif job.fsdp and optim not in known.split(", "):
        why = "bitsandbytes' optimizer step has no sharding strategy in torch"
        yield Problem(f"{optim} does not run under FSDP2", where=where, why=why, hint=f"one of {known}")


RULES = (
    one_engine,
    engines_need_ranks,
    offload_needs_an_engine,
    eight_bits_are_not_divided,
    dora_reads_whole_weights,
    optimizers_suit_the_engine,
)
