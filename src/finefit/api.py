"""The verbs, composed by plain arguments: `estimate`, `train`, `read_receipt`, `generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from finefit.errors import BadInput, Problem
from finefit.estimate.host import host_of
from finefit.estimate.rehearsed import ledger_from, spread
from finefit.lower.orders import base_orders, job_orders, rehearsal_orders
from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Dtype, Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.observer import Observer
from finefit.nouns.plan import DataFacts, Plan
from finefit.nouns.receipt import Receipt
from finefit.nouns.steps import optimizer_steps
from finefit.rehearsal.find import at_half, find, rehearse, rows_of
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.run import folder, receipt, worker
from finefit.search.choice import choose, suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.packed import beside_packed, to_run
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model
from finefit.world.rows import check_rows

REFERENCE_GPU = "A100-80GB"
"""Where an estimate names no GPU and none is here."""


def estimate(
    model: str,
    *,
    method: Method,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    loop: Loop = OURS,
    images: Images | None = None,
    progress: Callable[[str], None] | None = None,
) -> Estimate:
    """The memory of one pinned recipe: replayed where its tape is known, else rehearsed. Raises `BadInput`."""
    started = time.perf_counter()
    say = progress or (lambda _: None)
    found = find_model(model, trust_remote_code)
    method, agreed = beside_packed(method, found)
    machine, notes = _machine_or_reference(gpu)
    knobs, changed = suited(knobs, found)
    engine = engine_for(knobs, machine, found)
    alone, loop = of_one_rank(engine, knobs, loop)
    recipe = Recipe(found, method, alone, machine, loop, trust_remote_code, images)
    told = find(recipe, say)
    rank, half = spread(told.recording, engine, knobs, alone, machine), at_half(recipe, told)
    shorter = None if half is None else spread(half, engine, knobs, alone, machine).recording
    ledger = ledger_from(rank.recording, found, knobs, machine, shorter, engine=engine)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        host=host_of(method, knobs, machine, engine, ledger, rank.host),
        images=images,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *_left_out(found, images, knobs), *told.notes),
        seconds=time.perf_counter() - started,
    )


def train(job_or_run: str, overrides: Mapping[str, str], resume: bool, observer: Observer) -> Receipt:
    """Plans, trains exactly that, and closes with a receipt. Raises `BadInput`, `RunFailed`, `Interrupted`."""
    if resume:
        run = folder.to_resume(_run_of(Path(job_or_run)))
        plan = folder.read_plan(run)
    else:
        plan = plan_job(job_or_run, overrides, observer)
        run = folder.create(plan, Path(job_or_run).stem)
    observer.planned(plan)
    observer.note(f"run folder: {run.path}")
    observer.stage("training")
    worker.train(run, observer.event)
    return receipt.write(run)


def plan_job(job_path: str, overrides: Mapping[str, str], observer: Observer) -> Plan:
    """Everything that a job decides and takes, before anything runs. Raises `BadInput` with all problems."""
    job, notes = read_job(job_path, overrides)
    machine = machine_named(job.gpu)
    model = find_model(job.model, job.trust_remote_code, for_training=True)
    _trains_on_one(machine, choose(job, machine))
    files = {"train": check_rows(job.data)} | ({"eval": check_rows(job.eval_data)} if job.eval_data else {})
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(choose(job, machine), model)
    orders = job_orders(job, model, method, knobs, machine)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    asked = rehearsal_orders(orders, model, knobs, machine, OURS)
    asked["rehearsal"]["shorter"] = not machine.is_cpu
    observer.stage("rehearsing the training step" + ("" if machine.is_cpu else ", and two of shorter rows"))
    recording, answer, more = rehearse(asked, recipe.layers, observer.note)
    rows = rows_of(recipe, recording, answer)
    facts = answer["data"]
    facts["longest_line"] = files["train"].lines[facts["longest_line"] - 1]
    data = DataFacts(eval_rows=files["eval"].rows if "eval" in files else 0, **facts)
    knobs = replace(knobs, max_length=data.longest_tokens)
    return Plan(
        job=job,
        model=model,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_from(recording, model, knobs, machine, rows=rows),
        data=data,
        steps=optimizer_steps(orders["trainer"], data.rows),
        stack=answer["stack"],
        notes=(*notes, *agreed, *changed, *more),
        orders=orders,
    )


def _trains_on_one(machine: Machine, knobs: Knobs) -> None:
    """What is estimated already, and not yet trained."""
    problems = []
    if machine.count > 1:
        problems.append(
            Problem(f"{machine.name} is {machine.count} GPUs", where="gpu", hint=machine.name.split("x")[-1])
        )
    for key, is_given in (("zero_stage", knobs.zero_stage is not None), ("fsdp", knobs.fsdp)):
        if is_given:
            problems.append(Problem("engines are not trained with yet", where=key, hint="leave it out"))
    if problems:
        why = "this version trains on one GPU; `finefit estimate` answers for several"
        raise BadInput(*(replace(problem, why=why) for problem in problems))


def _run_of(path: Path) -> folder.RunFolder:
    """A run folder itself, or the newest run of a job file."""
    if path.is_dir():
        return folder.open_run(path)
    job = read_job(path).job
    return folder.open_run(Path(job.output_dir)) if job.output_dir else folder.newest_of(path.stem)


def read_receipt(run: str) -> Receipt:
    return receipt.read(Path(run))


def generate(target: str, prompts: Sequence[str], max_new_tokens: int, base: bool) -> list[str]:
    """One answer a prompt, from a run's model with its adapter, or from a model folder; `base` leaves it out."""
    if Path(target, "plan.json").exists():
        run = folder.open_run(Path(target))
        orders = json.loads(run.orders.read_text())
        adapter = None if base else str(run.adapter)
    else:
        model = find_model(target, for_training=True)
        machine = machine_named("auto")
        dtype: Dtype = "float32" if machine.is_cpu else "bfloat16"
        orders = base_orders(model, to_run(model), Knobs(max_length=0, dtype=dtype), machine, False)
        adapter = None
    asked = {
        "conversations": [[{"role": "user", "content": prompt}] for prompt in prompts],
        "max_new_tokens": max_new_tokens,
        "adapter": adapter,
        "temperature": 0,
        "seed": 0,
    }
    texts: list[str] = worker.ask("generate", orders | asked)["texts"]
    return texts


def method_of(job: Job) -> Method:
    match job.method:
        case "full":
            return Full()
        case "lora":
            return LoRA(job.lora_r, job.lora_alpha, job.lora_dropout, job.lora_target_modules)
        case "qlora4" | "qlora8":
            return QLoRA(
                bits=4 if job.method == "qlora4" else 8,
                r=job.lora_r,
                alpha=job.lora_alpha,
                dropout=job.lora_dropout,
                target_modules=job.lora_target_modules,
                quant_type=job.bnb_4bit_quant_type,
                double_quant=job.bnb_4bit_use_double_quant,
            )
        case _:
            assert_never(job.method)


def images_of(job: Job) -> Images | None:
    """Those of every row; None where rows show none."""
    if job.image_size is None:
        return None
    width, height = map(int, job.image_size.split("x"))
    return Images(width, height, job.images)


def _left_out(model: Model, images: Images | None, knobs: Knobs) -> tuple[str, ...]:
    """What the model has and the figures do not."""
    if "vision_config" not in model.config:
        return ()
    if images is None:
        return ("computed for text alone: the weights of the vision tower are counted; say --image-size for images",)
    if knobs.attn_implementation == "flash_attention_2":
        return ("the tower's attention is computed as torch's flash kernel, image by image, not in one packed call",)
    return ()


def _machine_or_reference(gpu: str) -> tuple[Machine, tuple[str, ...]]:
    machine = machine_named(gpu)
    if gpu == "auto" and machine.is_cpu:
        return machine_named(REFERENCE_GPU), (f"no GPU is here: computed for {REFERENCE_GPU}; name yours with --gpu",)
    return machine, ()
