"""finefit's plan beside TRL's defaults: the same model, rows, length, adapters and global batch, at one memory budget.

    python benchmarks/training [--model FOLDER] [--data FILE.jsonl] [--method lora|qlora4|full] [--budget-gib 24]
                               [--global-batch-size 16] [--steps 20] [--rounds 2] [-o RESULTS.json]

One fresh process a run, and the ways take turns, so that a card that warms up slows all of them. Counted are tokens of
the rows, without padding, a second, after two steps. TRL's micro-batch is halved until it survives the budget, as its
users do. On a processor there is no budget: it shows that everything runs.

Does not know: Unsloth, LLaMA-Factory and axolotl, which are not run here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.api.searching import search_for, sought
from finefit.nouns.job import Job
from finefit.rehearsal.own_rows import checked_files
from finefit.run.events import WARMING_STEPS, kept_steps, read_events
from finefit.units import GIB
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
OUT_OF_MEMORY = 3
"""How `by_trl.py` ends where the budget is too small."""
Result = dict[str, Any]


def main() -> None:
    asked = _arguments()
    job = Job(
        model=str(asked.model), data=str(asked.data), method=asked.method, gpu=asked.gpu, max_steps=asked.steps,
        global_batch_size=asked.global_batch_size, learning_rate=1e-4, assistant_only_loss=False,
    )  # fmt: skip
    ways: Mapping[str, Callable[[], Result]] = {
        "finefit's plan": lambda: by_finefit(job, asked.budget_gib),
        "TRL's defaults": lambda: by_trl(job, asked.budget_gib, {}),
        "TRL, nothing checkpointed": lambda: by_trl(job, asked.budget_gib, {"gradient_checkpointing": False}),
    }
    results = []
    for number in range(asked.rounds):
        for name, run in ways.items():
            results.append({"way": name, "round": number, **run()})
            print(json.dumps(results[-1]), flush=True)
    print(table(results))
    if asked.output is not None:
        asked.output.write_text(
            json.dumps({"asked": {**vars(asked)}, "results": results}, indent=1, default=str) + "\n"
        )


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python benchmarks/training")
    parser.add_argument("--model", type=Path, default=EXAMPLES / "base")
    parser.add_argument("--data", type=Path, default=EXAMPLES / "stdlib" / "train.jsonl")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--gpu", default="auto")
    parser.add_argument("--budget-gib", type=float)
    parser.add_argument("--global-batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def by_finefit(job: Job, budget_gib: float | None) -> Result:
    """The plan's choice under the budget, pinned and trained."""
    pins = [] if budget_gib is None else _pins(job, budget_gib)
    with tempfile.TemporaryDirectory() as folder:
        file, run = Path(folder, "job.yaml"), Path(folder, "run")
        said = {"model": job.model, "data": job.data, "method": job.method, "gpu": job.gpu, "max_steps": job.max_steps}
        said |= {"global_batch_size": job.global_batch_size, "learning_rate": job.learning_rate, "save_steps": 10**6}
        file.write_text(json.dumps(said | {"assistant_only_loss": False}))  # JSON is YAML
        command = [sys.executable, "-m", "finefit", "train", str(file), "--output-dir", str(run), "--json", *pins]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1:]}
        receipt, steps = json.loads(done.stdout), kept_steps(read_events(run / "events.jsonl"))
        plan = json.loads((run / "plan.json").read_text())
    tokens = steps[-1]["tokens"] - steps[WARMING_STEPS - 1]["tokens"]
    seconds = sum(step["seconds"] for step in steps[WARMING_STEPS:])
    knobs = plan["knobs"]
    return {
        "micro_batch": knobs["per_device_train_batch_size"],
        "checkpointed": knobs["gradient_checkpointing"],
        "tokens_per_second": tokens / seconds,
        "peak_bytes": receipt["rss_peak_bytes"] if machine_named(job.gpu).is_cpu else receipt["peak"]["measured_bytes"],
        "reserved_bytes": (receipt.get("reserved") or {}).get("measured_bytes"),
        "predicted_bytes": receipt["peak"]["predicted_bytes"],
        "stack": receipt["stack"],
    }


def _pins(job: Job, budget_gib: float) -> list[str]:
    """What a plan chooses on this card, were its memory the budget."""
    machine, model = machine_named(job.gpu), find_model(job.model)
    assert machine.gpu is not None, "a processor has no budget"
    smaller = replace(machine, gpu=replace(machine.gpu, vram_bytes=int(budget_gib * GIB)))
    about = sought(job, model, smaller, checked_files(job).train)
    choice = search_for(about, (job.method,), lambda _: None, has_engines=False).choice
    assert choice is not None, f"nothing fits in {budget_gib} GiB"
    layers = choice.knobs.gradient_checkpointing
    micro_batch = choice.knobs.per_device_train_batch_size
    return ["--per-device-train-batch-size", str(micro_batch), "--gradient-checkpointing", str(layers or "none")]


def by_trl(job: Job, budget_gib: float | None, changed: Mapping[str, Any]) -> Result:
    """TRL's own trainer and defaults, with a micro-batch that survives."""
    micro_batch = min(8, job.global_batch_size)
    while True:
        asked = {
            "model": job.model, "data": job.data, "method": job.method, "steps": job.max_steps, "cpu": job.gpu == "cpu",
            "budget_bytes": None if budget_gib is None else int(budget_gib * GIB), "warming": WARMING_STEPS,
            "trainer": {
                "per_device_train_batch_size": micro_batch,
                "gradient_accumulation_steps": job.global_batch_size // micro_batch,
                "learning_rate": job.learning_rate,
                **changed,
            },
        }  # fmt: skip
        command = [sys.executable, str(HERE / "by_trl.py"), json.dumps(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            told: Result = json.loads(done.stdout.splitlines()[-1])
            return {"micro_batch": micro_batch, **told}
        if done.returncode != OUT_OF_MEMORY or micro_batch == 1:
            return {"micro_batch": micro_batch, "failed": done.stderr.strip().splitlines()[-1:]}
        micro_batch //= 2


def table(results: list[Result]) -> str:
    lines = ["", f"{'':<28}{'micro-batch':>12}{'checkpointed':>14}{'tokens/s':>10}{'peak, GiB':>11}"]
    for way in dict.fromkeys(one["way"] for one in results):
        runs = [one for one in results if one["way"] == way and "failed" not in one]
        if not runs:
            lines.append(f"{way:<28}failed")
            continue
        speed = statistics.median(one["tokens_per_second"] for one in runs)
        peak, first = max(one["peak_bytes"] for one in runs) / GIB, runs[0]
        lines.append(f"{way:<28}{first['micro_batch']:>12}{first['checkpointed']!s:>14}{speed:>10,.0f}{peak:>11.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
