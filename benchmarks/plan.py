"""How many recipes a plan for one GPU weighs in a second, and what a whole plan takes: `python benchmarks/plan.py`.

No torch is imported. Processor time of one core, the best of several runs. *Weighed* is the allocated peak and the time
of every recipe, without the allocator; a *plan* also asks the allocator for those near the line, and for advice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from finefit import api
from finefit.nouns.job import Job, MethodName
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked, candidates
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

RUNS = 3
CASES: tuple[tuple[str, MethodName, str], ...] = (
    ("meta-llama/Llama-3.1-8B", "qlora4", "RTX4090"),
    ("meta-llama/Llama-3.1-8B", "lora", "A100-80GB"),
    ("Qwen/Qwen2.5-1.5B", "lora", "RTX4060-8GB"),
)


def best_seconds(action: Callable[[], object]) -> float:
    found = []
    for _ in range(RUNS):
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    print("model, method, GPU                             recipes  weighed, s  a second  again, a second  plan, s")
    for case in CASES:
        print(measured(*case))


def measured(name: str, method: MethodName, gpu: str) -> str:
    job = Job(model=name, data="", method=method, gpu=gpu, max_length=1024, global_batch_size=64)
    model, machine = find_model(name), machine_named(gpu)
    asked = Asked(job, api.method_of(job), model, machine)

    def weigh(rehearsals: Rehearsals) -> int:
        return len(list(candidates(asked, rehearsals, 10**13)))

    kept = Rehearsals(model, machine, print)
    count = weigh(kept)
    cold = best_seconds(lambda: weigh(Rehearsals(model, machine, print)))
    warm = best_seconds(lambda: weigh(kept))
    whole = best_seconds(lambda: api.plan(replace(job, global_batch_size=16)))
    where = f"{name.split('/')[-1]}, {method}, {gpu}"
    return f"{where:<46}{count:>8,}{cold:>12.2f}{count / cold:>10,.0f}{count / warm:>17,.0f}{whole:>9.2f}"


if __name__ == "__main__":
    main()
