"""What the keys of a job mean together, and whether what they name is there. Each rule is one function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from finefit.errors import BadInput, Problem
from finefit.nouns.hub_rows import hub_rows
from finefit.nouns.job import Job
from finefit.nouns.steps import step_range

from . import engine_rules, packing_rules, preference_rules, writing_rules
from .entries import Entry
from .given import Given, Rule
from .gpus import machine_named

MICRO, STEPS, GLOBAL = "per_device_train_batch_size", "gradient_accumulation_steps", "global_batch_size"

FLASH_ATTENTION_SINCE = (8, 0)
"""Compute capability that FlashAttention 2 needs (its README: Ampere or newer)."""


def broken_rules(job: Job, entries: Mapping[str, Entry], wrong: frozenset[str]) -> list[Problem]:
    try:
        machine, problems = machine_named(job.gpu), []
    except BadInput as error:
        where = entries["gpu"].where if "gpu" in entries else "gpu"
        machine, problems = None, [Problem(p.what, where, p.why, p.hint) for p in error.problems]
    given = Given(job, entries, wrong, machine)
    return problems + [problem for rule in RULES for problem in rule(given)]


ADAPTERS = ("lora", "qlora4", "qlora8"), "there is no adapter", "method lora"
METHODS_OF_KEYS = {
    "lora_": ADAPTERS,
    "use_dora": ADAPTERS,
    "use_rslora": ADAPTERS,
    "bnb_4bit_": (("qlora4",), "no weights in 4 bits", "method qlora4"),
}
"""By how a key begins: the methods that it is for, why it means nothing beside another, and what to try."""
SWITCHES = ("use_dora", "use_rslora")
"""Of those: off is as things are beside any method."""


def keys_suit_the_method(given: Given) -> Iterator[Problem]:
    if "method" in given.wrong:
        return
    for key, entry in given.entries.items():
        for start, (methods, why, hint) in METHODS_OF_KEYS.items():
            is_off = key in SWITCHES and not getattr(given.job, key)
            if key.startswith(start) and given.job.method not in methods and not is_off:
                reason = f"{given.where('method')} is {given.job.method}: {why}"
                yield Problem("means nothing here", where=entry.where, why=reason, hint=f"{hint}, or leave it out")


def what_is_new_is_trained_whole(given: Given) -> Iterator[Problem]:
    """From scratch, there is nothing that adapters could stand beside, and nothing to compare with."""
    job = given.job
    if not job.from_scratch or given.wrong & {"from_scratch", "method", "task"}:
        return
    where = given.where("from_scratch")
    if job.method != "full":
        why = f"{given.where('method')} is {job.method}: adapters beside weights that know nothing learn nothing"
        yield Problem("from_scratch trains every weight", where, why, "method: full")
    if job.task != "sft":
        why = "a preference is compared with what the model says before, and it says nothing yet"
        yield Problem(f"from_scratch does not go with task {job.task}", where, why, "task: sft")
    if given.machine is not None and given.machine.count > 1:
        why = "weights that are drawn on several ranks were not seen to be alike"
        yield Problem("from_scratch is trained on one GPU", where, why, "gpu: one of them")


def batches_multiply(given: Given) -> Iterator[Problem]:
    """Micro-batch × accumulation × GPUs is the global batch, exactly."""
    job, ranks = given.job, given.machine.count if given.machine else 1
    if GLOBAL in given.wrong:
        return
    wished = f"{GLOBAL} is {job.global_batch_size}" + ("" if GLOBAL in given.entries else " unless it is given")
    of = given.machine.parts if given.machine else "GPUs"
    gpus = f" on {ranks} {of}" if ranks > 1 else ""
    hint = "make them multiply to the global batch; or give the two alone, and it is their product"
    if given.has(MICRO, STEPS):
        product = (job.per_device_train_batch_size or 0) * (job.gradient_accumulation_steps or 0) * ranks
        if product != job.global_batch_size:
            what = (
                f"{job.per_device_train_batch_size} × {job.gradient_accumulation_steps} sequences{gpus} are {product}"
            )
            yield Problem(what, where=given.where(MICRO), why=wished, hint=hint)
        return
    for key, value in ((MICRO, job.per_device_train_batch_size), (STEPS, job.gradient_accumulation_steps)):
        if given.has(key) and value is not None and job.global_batch_size % (value * ranks):
            yield Problem(f"{value}{gpus} does not divide the global batch", given.where(key), wished, hint)
            return
    if job.global_batch_size % ranks:
        yield Problem(f"{ranks} {of} do not divide the global batch", given.where(GLOBAL, "gpu"), wished, hint)


def half_precision_needs_a_gpu(given: Given) -> Iterator[Problem]:
    """torch's autocast to fp16 on a processor silently gives what fp32 gives."""
    if given.machine is None or not given.machine.is_cpu:
        return
    why = "the processor has no fp16 training" + ("" if "gpu" in given.entries else ", and no GPU is here")
    for key, value in (("mixed_precision", "fp16"), ("dtype", "float16")):
        if given.has(key) and getattr(given.job, key) == value:
            yield Problem(
                f"{value} needs a GPU", where=given.where(key), why=why, hint="float32, or bf16 mixed precision"
            )


def flash_attention_needs_ampere(given: Given) -> Iterator[Problem]:
    if given.machine is None or given.job.attn_implementation != "flash_attention_2":
        return
    gpu = given.machine.gpu
    if gpu is None or gpu.compute_capability < FLASH_ATTENTION_SINCE:
        have = "no GPU is used" if gpu is None else f"{gpu.name} is older"
        where = given.where("attn_implementation")
        yield Problem("flash_attention_2 needs an Ampere GPU or newer", where=where, why=have, hint="sdpa")


def dora_in_8_bits_needs_a_gpu(given: Given) -> Iterator[Problem]:
    on_cpu = given.machine is not None and given.machine.is_cpu
    if on_cpu and given.job.use_dora and given.job.method == "qlora8":
        why = "on a processor PEFT loses the scales of 8-bit weights as DoRA reads them (0.21)"
        where = given.where("use_dora")
        yield Problem("use_dora beside 8 bits needs a GPU", where=where, why=why, hint="method qlora4")


def liger_needs_a_gpu(given: Given) -> Iterator[Problem]:
    if given.machine is None or not given.machine.is_cpu or not given.job.use_liger_kernel:
        return
    why = "its kernels are written in Triton, which runs on no processor"
    yield Problem("use_liger_kernel needs a GPU", where=given.where("use_liger_kernel"), why=why, hint="leave it out")


def ligers_loss_comes_with_its_kernels(given: Given) -> Iterator[Problem]:
    if given.has("loss") and given.job.loss == "liger" and not given.job.use_liger_kernel:
        hint = "use_liger_kernel: true, or loss fused, which is TRL's"
        yield Problem("liger's loss comes with liger's kernels", where=given.where("loss"), hint=hint)


def segments_need_a_gpu(given: Given) -> Iterator[Problem]:
    on_cpu = given.machine is not None and given.machine.is_cpu
    if on_cpu and given.has("expandable_segments") and given.job.expandable_segments:
        why = "the processor has no caching allocator" + ("" if "gpu" in given.entries else ", and no GPU is here")
        yield Problem("means nothing here", where=given.where("expandable_segments"), why=why, hint="leave it out")


def scaled_gradients_need_float32(given: Given) -> Iterator[Problem]:
    job = given.job
    pinned = given.has("dtype", "mixed_precision") and job.method == "full"
    if pinned and (job.dtype, job.mixed_precision) == ("float16", "fp16"):
        yield Problem(
            "trained float16 weights cannot be unscaled",
            where=given.where("mixed_precision"),
            why="fp16 mixed precision scales the loss, and torch's scaler refuses float16 gradients",
            hint="dtype float32 with fp16, or method lora",
        )


def evaluation_needs_rows(given: Given) -> Iterator[Problem]:
    wished = given.has("eval_steps") and given.job.eval_steps is not None
    if wished and given.job.eval_data is None and "eval_data" not in given.wrong:
        yield Problem("there are no rows to evaluate on", where=given.where("eval_steps"), hint="eval_data: FILE.jsonl")


def profiled_steps_are_trained(given: Given) -> Iterator[Problem]:
    """Where the job says how many there are; else the plan tells it."""
    found = step_range(given.job.profile_steps or "")
    if found is not None and given.has("profile_steps", "max_steps") and 0 < given.job.max_steps < found[1]:
        yield Problem(
            f"there is no step {found[1]}", given.where("profile_steps"), f"max_steps is {given.job.max_steps}"
        )


def images_have_a_size(given: Given) -> Iterator[Problem]:
    if given.has("images") and given.job.image_size is None and "image_size" not in given.wrong:
        yield Problem("of which size is not said", where=given.where("images"), hint="image_size: WIDTHxHEIGHT")


def rows_show_their_own_images(given: Given) -> Iterator[Problem]:
    if given.job.data and given.has("image_size"):
        why = f"{given.where('data')} says which images its rows show, and their sizes are read"
        yield Problem("does not go with a file's rows", where=given.where("image_size"), why=why, hint="leave it out")


def files_are_there(given: Given) -> Iterator[Problem]:
    for key in ("data", "eval_data"):
        path = getattr(given.job, key)
        if given.has(key) and path and hub_rows(path) is None and not Path(path).is_file():
            what = "is a folder" if Path(path).is_dir() else "no such file"
            yield Problem(f"{what}: {path}", where=given.where(key), hint=_file_hint(path))
    output = given.job.output_dir
    if given.has("output_dir") and output and Path(output).is_file():
        yield Problem(f"this is a file: {output}", where=given.where("output_dir"), hint="a folder for the run")


def bad_rows_are_of_a_file(given: Given) -> Iterator[Problem]:
    if given.has("on_bad_row") and not given.job.data and "data" not in given.wrong:
        yield Problem("there are no rows", where=given.where("on_bad_row"), hint="data: FILE, or leave it out")


def _file_hint(path: str) -> str:
    return "a file of it: JSONL, JSON, CSV or Parquet" if Path(path).is_dir() else ""


def model_folder_is_one(given: Given) -> Iterator[Problem]:
    if not given.has("model") or not Path(given.job.model).is_absolute():
        return  # a name, for the catalog or the hub
    path = Path(given.job.model)
    if not path.exists():
        yield Problem(
            f"no such folder: {path}", where=given.where("model"), hint="a folder with config.json, or a name"
        )
    elif path.is_dir() and not (path / "config.json").is_file():
        yield Problem(f"the folder has no config.json: {path}", where=given.where("model"))


RULES: tuple[Rule, ...] = (
    files_are_there,
    model_folder_is_one,
    keys_suit_the_method,
    what_is_new_is_trained_whole,
    batches_multiply,
    half_precision_needs_a_gpu,
    segments_need_a_gpu,
    flash_attention_needs_ampere,
    dora_in_8_bits_needs_a_gpu,
    liger_needs_a_gpu,
    ligers_loss_comes_with_its_kernels,
    scaled_gradients_need_float32,
    evaluation_needs_rows,
    profiled_steps_are_trained,
    images_have_a_size,
    rows_show_their_own_images,
    bad_rows_are_of_a_file,
    *engine_rules.RULES,
    *writing_rules.RULES,
    *preference_rules.RULES,
    *packing_rules.RULES,
)
