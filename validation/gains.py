"""What a plan gains over what popular trainers do: checkpoint everything, micro-batch 1 or 2. Writes docs/gains.md.

    python validation/gains.py

All figures are predicted: the same estimator says both sides.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from finefit import api
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.search.choice import choose
from finefit.units import human_bytes
from finefit.world.gpus import machine_named

PAGE = Path(__file__).parent.parent / "docs" / "gains.md"
CARDS = ("RTX4090", "RTX4080", "RTX4060-8GB")
MODELS = ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-3B", "Qwen/Qwen2.5-1.5B")
METHODS: tuple[MethodName, ...] = ("qlora4", "lora")
LENGTHS = (1024, 2048, 8192)
USUAL = (1, 2)
"""Micro-batches of popular trainers' examples."""


HEAD = (
    "| card | model | method | tokens | choice | device, at most | tokens/s | usual, 1 | gain | usual, 2 | gain |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Compared:
    job: Job
    choice: Estimate | None
    usual: tuple[Estimate | None, ...]
    # None: does not fit

    def gain(self, place: int) -> float | None:
        usual = self.usual[place]
        if self.choice is None or usual is None or self.choice.pace is None or usual.pace is None:
            return None
        return self.choice.pace.tokens_per_second / usual.pace.tokens_per_second


def main() -> None:
    os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
    found = [compared(job) for job in jobs()]
    PAGE.write_text(page(found), encoding="utf-8")


def jobs() -> Iterator[Job]:
    for card in CARDS:
        for model in MODELS:
            for method in METHODS:
                for length in LENGTHS:
                    yield Job(model=model, data="", method=method, gpu=card, max_length=length, offload="none")


def compared(job: Job) -> Compared:
    print(job.gpu, job.model, job.method, job.max_length, file=sys.stderr)
    return Compared(job, api.plan(job).choice, tuple(_usual(job, size) for size in USUAL))


def _usual(job: Job, micro_batch: int) -> Estimate | None:
    wished = replace(job, per_device_train_batch_size=micro_batch, gradient_checkpointing="all")
    knobs = choose(wished, machine_named(job.gpu))
    told = api.estimate(job.model, method=api.method_of(job), knobs=knobs, gpu=job.gpu, probes=False)
    return told if told.verdict == "fits" else None


def page(found: list[Compared]) -> str:
    gains = [[gain for one in found if (gain := one.gain(place)) is not None] for place in range(len(USUAL))]
    return "\n".join(
        [
            "# What loading to the line gains",
            "",
            "Made by `python validation/gains.py`; do not edit. Every figure is **predicted**, on both sides by the",
            "same estimator (docs/accuracy.md says how it lies): no GPU has run these. *Usual* is what popular",
            "trainers do where nothing is set: every layer checkpointed, micro-batch 1 or 2, the same kernels. The",
            "global batch is 16 everywhere, so the mathematics are the same. The choice fits at the high end of its",
            "range, and nothing is offloaded.",
            "",
            f"Where both fit, the choice is {median(gains[0]):.2f} times as fast in the middle as micro-batch 1",
            f"({min(gains[0]):.2f} to {max(gains[0]):.2f}, {len(gains[0])} recipes), and {median(gains[1]):.2f} times",
            f"as micro-batch 2 ({min(gains[1]):.2f} to {max(gains[1]):.2f}, {len(gains[1])}).",
            "",
            *HEAD,
            *map(_line, found),
            "",
        ]
    )


def _line(one: Compared) -> str:
    job, choice = one.job, one.choice
    start = [job.gpu, job.model.split("/")[-1], job.method, f"{job.max_length:,}"]
    if choice is None or choice.pace is None or choice.ledger.device is None:
        return f"| {' | '.join([*start, 'does not fit', *[''] * 6])} |"
    knobs = choice.knobs
    words = {"all": "every layer", 0: "no layer"}
    checkpointed = words.get(knobs.gradient_checkpointing, f"{knobs.gradient_checkpointing} layers")
    recipe = f"{knobs.per_device_train_batch_size} × {knobs.gradient_accumulation_steps}, {checkpointed} again"
    cells = [recipe, human_bytes(choice.ledger.device.high), f"{choice.pace.tokens_per_second:,.0f}"]
    for place, usual in enumerate(one.usual):
        gain = one.gain(place)
        speed = "does not fit" if usual is None or usual.pace is None else f"{usual.pace.tokens_per_second:,.0f}"
        cells += [speed, "" if gain is None else f"{gain:.2f}"]
    return f"| {' | '.join([*start, *cells])} |"


if __name__ == "__main__":
    main()
