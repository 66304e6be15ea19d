"""The verbs, composed by plain arguments: `estimate`, `train`, `read_receipt`, `generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from finefit.errors import BadInput, Problem
from finefit.estimate.generation import ledger_of_answer
from finefit.estimate.host import host_of
from finefit.estimate.left_out import left_out
from finefit.estimate.rehearsed import ledger_from, spread, spread_alike
from finefit.lower.images import cannot_show
from finefit.lower.orders import base_orders
from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Dtype, Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.nouns.steps import optimizer_steps
from finefit.nouns.task import DPO, ROWS, Generate, Training
from finefit.rehearsal.find import at_half, find
from finefit.rehearsal.generation import Writing
from finefit.rehearsal.generation import find as find_answer
from finefit.rehearsal.own_rows import checked_files, rehearse_rows
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.run import folder, receipt, worker
from finefit.search.choice import choose, suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.generation import parts_to_write
from finefit.search.packed import beside_packed, to_run
from finefit.search.preferences import refuse_unproven, supposed_of
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model, with_tokenizer

REFERENCE_GPU = "A100-80GB"
"""Where an estimate names no GPU and none is here."""
ALIKE = (
    "all prompts are as long as the longest, and nothing ends an answer early; the likeliest token is taken: sampling "
    "sorts the logits, and padded prompts keep a mask, which are not modelled"
)


def estimate(
    model: str,
    *,
    method: Method,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    loop: Loop = OURS,
    images: Images | None = None,
    task: Training = ROWS,
    progress: Callable[[str], None] | None = None,
) -> Estimate:
    """The memory of one pinned recipe: replayed where its tape is known, else rehearsed. Raises `BadInput`."""
    started = time.perf_counter()
    say = progress or (lambda _: None)
    found = find_model(model, trust_remote_code)
    method, agreed = beside_packed(method, found)
    machine, notes = _machine_or_reference(gpu)
    refuse_unproven(task, method, knobs, found)
    if isinstance(task, DPO):
        _on_one(machine, knobs, "how several GPUs and engines share a reference is not modelled: preferences have one")
    knobs, changed = suited(knobs, found)
    engine = engine_for(knobs, machine, found)
    alone, loop = of_one_rank(engine, knobs, loop)
    recipe = Recipe(found, method, alone, machine, loop, trust_remote_code, images, task)
    told = find(recipe, say)
    rank, half = spread(told.recording, engine, knobs, alone, machine), at_half(recipe, told)
    shorter = None if half is None else spread_alike(rank, told.recording, half)
    ledger = ledger_from(rank.recording, found, knobs, machine, shorter, engine=engine, task=task)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        host=host_of(method, knobs, machine, engine, ledger, rank.host, task),
        images=images,
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, images, knobs), *supposed_of(task), *told.notes),
        seconds=time.perf_counter() - started,
    )


def estimate_rows(
    job: Job, *, knobs: Knobs, gpu: str = "auto", progress: Callable[[str], None] | None = None
) -> Estimate:
    """The memory of one pinned recipe on the rows of the job's own file, as a run of it would meet them. Raises
    `BadInput`."""
    started = time.perf_counter()
    machine, notes = _machine_or_reference(gpu)
    _on_one(machine, knobs, "a file's rows are replayed on one GPU; `--max-length` in its place answers for several")
    model, has_tokenizer = with_tokenizer(find_model(job.model, job.trust_remote_code))
    files = checked_files(job, cannot_show(model))
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(knobs, model)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    say = progress or (lambda _: None)
    say("rehearsing the training step")
    own = rehearse_rows(job, files, recipe, say, has_tokenizer=has_tokenizer)
    ledger = ledger_from(own.recording, model, replace(knobs, max_length=own.length), machine, rows=own.rows)
    knobs = replace(knobs, max_length=own.data.longest_tokens)
    return Estimate(
        model=model,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        host=host_of(method, knobs, machine, None, ledger, {}),
        data=own.data,
        source="rehearsal",
        stack=own.stack,
        notes=(*notes, *agreed, *changed, *left_out(model, own.data.shown, knobs), *own.notes),
        seconds=time.perf_counter() - started,
    )


def estimate_answer(
    model: str,
    *,
    method: Method,
    task: Generate,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Estimate:
    """The memory of prompts that are read and answered, with the method's adapters or without. Raises `BadInput`."""
    started = time.perf_counter()
    found = find_model(model, trust_remote_code)
    machine, notes = _machine_or_reference(gpu)
    method, task, agreed = parts_to_write(method, task, found)
    knobs, changed = suited(knobs, found)
    told = find_answer(Writing(found, method, knobs, machine, task, trust_remote_code), progress or (lambda _: None))
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_of_answer(told.recording, found, knobs, machine, task),
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, None, knobs), ALIKE, *told.notes),
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
    _on_one(machine, choose(job, machine), "this version trains on one GPU; `finefit estimate` answers for several")
    files = checked_files(job)
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(choose(job, machine), model)
    observer.stage("rehearsing the training step" + ("" if machine.is_cpu else ", and two of shorter rows"))
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    own = rehearse_rows(job, files, recipe, observer.note)
    knobs = replace(knobs, max_length=own.data.longest_tokens)
    return Plan(
        job=job,
        model=model,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_from(own.recording, model, knobs, machine, rows=own.rows),
        data=own.data,
        steps=optimizer_steps(own.orders["trainer"], own.data.rows),
        stack=own.stack,
        notes=(*notes, *agreed, *changed, *own.notes),
        orders=own.orders,
    )


def _on_one(machine: Machine, knobs: Knobs, why: str) -> None:
    """Refuses several GPUs, and engines."""
    problems = []
    if machine.count > 1:
        problems.append(
            Problem(f"{machine.name} is {machine.count} GPUs", where="gpu", hint=machine.name.split("x")[-1])
        )
    for key, is_given in (("zero_stage", knobs.zero_stage is not None), ("fsdp", knobs.fsdp)):
        if is_given:
            problems.append(Problem("no engine goes with this yet", where=key, hint="leave it out"))
    if problems:
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


def answer_of(job: Job) -> Generate:
    return Generate(job.max_new_tokens, job.num_beams, job.cache_implementation, job.base)


def _machine_or_reference(gpu: str) -> tuple[Machine, tuple[str, ...]]:
    machine = machine_named(gpu)
    if gpu == "auto" and machine.is_cpu:
        return machine_named(REFERENCE_GPU), (f"no GPU is here: computed for {REFERENCE_GPU}; name yours with --gpu",)
    return machine, ()
