"""What to give up where a recipe does not fit, and what to spend where it leaves memory: each computed, by asking again
with one thing changed.

Knows: changes that a job's keys can say, alone. Does not know: what two changes do together, nor what a shorter row or
a lower rank does to what is learnt; it says that they touch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from finefit.nouns.advice import Advice, Direction, Effect, Touches
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model

from .dials import LARGEST_MICRO_BATCH, takes_stage_3

SHOWN = 3
"""Pieces of advice in each direction, beside a plan."""
SHORTEST, LEAST_RANK = 128, 4
"""Below these nothing shorter, or of a lower rank, is advised."""
WORTH_BYTES = 1 << 20
"""What changes less memory is no advice."""
LESS = {"full": "lora", "lora": "qlora4", "qlora8": "qlora4"}
MORE = {"qlora4": "lora", "qlora8": "lora", "lora": "full"}
SMALL_STATES = "adamw_bnb_8bit"
FOR_MORE: tuple[Touches, ...] = ("what is read", "what is learnt")
"""What memory may be spent on beside time."""
USUAL_OPTIM = "adamw_torch_fused"

Ask = Callable[[Job], Effect | None]
"""None: it cannot be told."""


@dataclass(frozen=True)
class Turn:
    what: str
    keys: dict[str, Any]
    touches: Touches = "nothing"


@dataclass(frozen=True)
class Basis:
    """A job whose every answer is pinned, and what it is about."""

    job: Job
    model: Model
    machine: Machine

    @property
    def micro_batch(self) -> int:
        return self.job.per_device_train_batch_size or 1

    @property
    def length(self) -> int:
        return self.job.max_length or 0

    @property
    def is_checkpointed(self) -> bool:
        return self.job.gradient_checkpointing not in ("none", 0)

    def batch(self, micro_batch: int) -> dict[str, Any]:
        each = self.job.global_batch_size // (micro_batch * self.machine.count)
        return {"per_device_train_batch_size": micro_batch, "gradient_accumulation_steps": each}


def pinned(job: Job, method: str, knobs: Knobs) -> Job:
    """The job with a recipe's answers for its own."""
    layers = knobs.gradient_checkpointing
    return replace(
        job,
        method=method,  # type: ignore[arg-type]
        max_length=knobs.max_length,
        per_device_train_batch_size=knobs.per_device_train_batch_size,
        gradient_accumulation_steps=knobs.gradient_accumulation_steps,
        gradient_checkpointing="none" if layers == 0 else layers,
        zero_stage=knobs.zero_stage,
        offload=knobs.offload,
        fsdp=knobs.fsdp,
        packing=knobs.packing,
    )


def advise(basis: Basis, before: Effect, ask: Ask, limit_bytes: int) -> tuple[Advice, ...]:
    """Both directions, each with the best first."""
    lost = _asked("give up", given_up(basis), basis, before, ask, limit_bytes)
    spent = _asked("spend", spent_on(basis), basis, before, ask, limit_bytes)
    saving = [one for one in lost if one.saved_bytes >= WORTH_BYTES]
    taking = [one for one in spent if one.fits and one.saved_bytes <= -WORTH_BYTES and _is_of_use(one)]
    return (*sorted(saving, key=_by_time_lost), *sorted(taking, key=_by_time_gained))


def best(given: Iterable[Advice], direction: Direction, count: int = SHOWN) -> tuple[Advice, ...]:
    return tuple([one for one in given if one.direction == direction][:count])


def given_up(basis: Basis) -> Iterator[Turn]:
    job = basis.job
    if job.gradient_checkpointing != "all":
        yield Turn("checkpoint every layer", {"gradient_checkpointing": "all"})
    if basis.micro_batch > 1 and basis.micro_batch % 2 == 0:
        half = basis.batch(basis.micro_batch // 2)
        yield Turn(f"micro-batch {basis.micro_batch // 2} and twice the accumulation", half)
    if basis.micro_batch > 2:
        yield Turn("micro-batch 1, and accumulate the rest", basis.batch(1))
    if job.loss == "full":
        yield Turn("TRL's fused head, which never has all logits", {"loss": "fused"})
    if job.attn_implementation == "eager":
        yield Turn("attention without its matrix of weights", {"attn_implementation": "sdpa"})
    yield from _more_divided(basis)
    if job.method == "full" and (job.optim or USUAL_OPTIM) == USUAL_OPTIM and not _has_engine(job):
        yield Turn("the optimizer's states in 8 bits", {"optim": SMALL_STATES}, "what is learnt")
    if basis.length // 2 >= SHORTEST:
        yield Turn(f"rows of {basis.length // 2:,} tokens", {"max_length": basis.length // 2}, "what is read")
    if job.method != "full" and job.lora_r // 2 >= LEAST_RANK:
        yield Turn(f"rank {job.lora_r // 2}", _rank(job, job.lora_r // 2), "what is learnt")
    if job.method in LESS:
        yield Turn(f"method {LESS[job.method]}", {"method": LESS[job.method]}, "what is learnt")


def spent_on(basis: Basis) -> Iterator[Turn]:
    job = basis.job
    if basis.is_checkpointed:
        yield Turn("checkpoint no layer", {"gradient_checkpointing": "none"})
        some = _three_quarters(job, basis.model.layers)
        yield Turn(f"checkpoint {some} layers alone", {"gradient_checkpointing": some})
    twice = 2 * basis.micro_batch
    if twice <= LARGEST_MICRO_BATCH and job.global_batch_size % (twice * basis.machine.count) == 0:
        yield Turn(f"micro-batch {twice} and half the accumulation", basis.batch(twice))
    yield from _less_divided(basis)
    if 2 * basis.length <= (basis.model.made_for or 0):
        yield Turn(f"rows of {2 * basis.length:,} tokens", {"max_length": 2 * basis.length}, "what is read")
    if job.method != "full":
        yield Turn(f"rank {2 * job.lora_r}", _rank(job, 2 * job.lora_r), "what is learnt")
    if job.method in MORE and not (job.task == "dpo" and job.method == "lora"):
        yield Turn(f"method {MORE[job.method]}", {"method": MORE[job.method]}, "what is learnt")


def _more_divided(basis: Basis) -> Iterator[Turn]:
    job, stage = basis.job, basis.job.zero_stage or 0
    touches: Touches = "how it is rounded" if job.zero_stage is None else "nothing"
    if basis.machine.count > 1 and not job.fsdp:
        for more in range(stage + 1, 4):
            if more < 3 or takes_stage_3(job):
                yield Turn(f"ZeRO {more}", {"zero_stage": more}, touches)
    if (job.offload or "none") == "none" and not job.fsdp:
        where = f"DeepSpeed ZeRO {max(stage, 2)} with the optimizer's state in host memory"
        yield Turn(where, {"zero_stage": max(stage, 2), "offload": "optimizer"}, touches)


def _less_divided(basis: Basis) -> Iterator[Turn]:
    job = basis.job
    if job.offload not in (None, "none"):
        yield Turn("nothing in host memory", {"offload": "none"})
    elif job.zero_stage is not None and basis.machine.count > 1:
        yield from (Turn(f"ZeRO {less}", {"zero_stage": less}) for less in range(1, job.zero_stage))
        yield Turn("DDP, which divides nothing", {"zero_stage": None}, "how it is rounded")


def _has_engine(job: Job) -> bool:
    return job.fsdp or job.zero_stage is not None


def _rank(job: Job, rank: int) -> dict[str, Any]:
    """The scale goes with it."""
    return {"lora_r": rank, "lora_alpha": max(1, job.lora_alpha * rank // job.lora_r)}


def _three_quarters(job: Job, layers: int) -> int:
    now = job.gradient_checkpointing
    return (now if isinstance(now, int) else layers) * 3 // 4


def _asked(
    direction: Direction, turns: Iterable[Turn], basis: Basis, before: Effect, ask: Ask, limit_bytes: int
) -> list[Advice]:
    found = []
    for turn in turns:
        after = ask(replace(basis.job, **turn.keys))
        if after is not None:
            fits = after.high_bytes <= limit_bytes
            found.append(Advice(direction, turn.what, turn.keys, before, after, fits, turn.touches))
    return found


def _is_of_use(one: Advice) -> bool:
    """Faster, or for something else than time."""
    return one.time_lost < 0 or one.touches in FOR_MORE


def _by_time_lost(one: Advice) -> tuple[bool, float, int]:
    """Those that suffice first."""
    return not one.fits, one.time_lost if one.fits else 0.0, -one.saved_bytes


def _by_time_gained(one: Advice) -> tuple[bool, float, int]:
    return one.touches in FOR_MORE, one.time_lost, -one.saved_bytes
