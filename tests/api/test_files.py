"""The files of a plan."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finefit import api
from finefit.catalog.deepspeed import auto_buckets
from finefit.errors import BadInput
from finefit.lower.plan_files import SKIPS
from finefit.nouns.estimate import Estimate
from finefit.nouns.files import Files
from finefit.nouns.job import Job
from finefit.nouns.ledger import Ledger
from finefit.search.choice import choose
from finefit.search.engine import engine_for
from finefit.search.preferences import task_of
from finefit.world.gpus import machine_named
from finefit.world.jobs import job_of_options, read_job
from finefit.world.models import find_model

MODEL = "meta-llama/Llama-3.2-1B"
HIDDEN = 2048
SHORT = {"max-length": "512", "global-batch-size": "8"}
JOBS: dict[str, dict[str, str]] = {
    "one GPU, LoRA": {"gpu": "T4", "max-length": "2048", "lora-target-modules": "q_proj,v_proj"},
    "one GPU, 4 bits": {**SHORT, "gpu": "RTX4090", "method": "qlora4", "expandable-segments": "true"},
    "one GPU, some layers": {**SHORT, "gpu": "RTX4090", "gradient-checkpointing": "5", "loss": "full"},
    "DDP": {**SHORT, "gpu": "2xRTX4090", "per-device-train-batch-size": "2"},
    "ZeRO 2, offloaded": {**SHORT, "gpu": "2xRTX4090", "method": "full", "zero-stage": "2", "offload": "optimizer"},
    "ZeRO 3, all offloaded": {**SHORT, "gpu": "2xRTX4090", "method": "full", "zero-stage": "3", "offload": "all"},
    "FSDP2": {**SHORT, "gpu": "2xRTX4090", "method": "full", "fsdp": "true"},
    "FSDP2, 4 bits": {**SHORT, "gpu": "2xRTX4090", "method": "qlora4", "fsdp": "true"},
    "preferences": {**SHORT, "gpu": "RTX4090", "task": "dpo", "method": "full"},
}
Planned = tuple[str, Estimate, Files]


def job_of(options: dict[str, str]) -> Job:
    keys = {key.replace("-", "_") for key in options}
    return replace(job_of_options(options, keys, is_pinned=False).job, model=MODEL)


def chosen(job: Job) -> Estimate:
    """What an estimate of it says of the recipe, without its memory."""
    model, machine = find_model(job.model), machine_named(job.gpu)
    knobs = choose(job, machine)
    return Estimate(
        model, api.method_of(job), knobs, machine, Ledger(1, "load", {}, (), 1, 1), "atlas", {}, (), 0.0,
        engine=engine_for(knobs, machine, model), task=task_of(job), images=api.images_of(job),
    )  # fmt: skip


@pytest.fixture(params=JOBS)
def planned(request: pytest.FixtureRequest) -> Planned:
    job = job_of(JOBS[request.param])
    return request.param, chosen(job), api.plan_files(job, chosen(job))


def test_a_job_that_is_read_back_is_the_same_recipe(planned: Planned, tmp_path: Path) -> None:
    """Nothing is left to choose, so every estimate of it is the same; and its own files are."""
    _, choice, files = planned
    api.write_files(tmp_path / "plan", files)
    job, notes = read_job(tmp_path / "plan" / "job.yaml", required=("model",))
    assert notes == ()
    assert chosen(job) == choice
    assert api.plan_files(job, choice) == files
    told = files.texts["job.yaml"]
    open_keys = ("max_length", "per_device_train_batch_size", "gradient_accumulation_steps", "dtype", "optim", "loss")
    assert all(f"\n{key}: " in told for key in (*open_keys, "learning_rate", "mixed_precision"))


def test_a_plan_of_a_plan_is_the_same(tmp_path: Path) -> None:
    """Planned again from its own file, the choice is the same to the byte and the millisecond."""
    job = job_of({**SHORT, "gpu": "RTX4090", "per-device-train-batch-size": "8"})
    plan = api.plan(job)
    assert plan.choice is not None
    api.write_files(tmp_path / "plan", api.plan_files(job, plan.choice))
    again = api.plan(read_job(tmp_path / "plan" / "job.yaml", required=("model",)).job)
    assert again.choice is not None
    assert replace(again.choice, seconds=0.0) == replace(plan.choice, seconds=0.0)
    assert again.weighed < plan.weighed


def test_how_long_rows_are_their_file_says(tmp_path: Path) -> None:
    """A plan may have guessed it, and a run refuses rows that are longer than its job allows; what was said stays."""
    (tmp_path / "rows.jsonl").write_text("")
    job = replace(job_of(JOBS["one GPU, LoRA"]), data=str(tmp_path / "rows.jsonl"))
    for said in (None, 4096):
        told = replace(job, max_length=said)
        files = api.plan_files(told, chosen(replace(told, max_length=77)))
        assert ("\nmax_length: 4096\n" in files.texts["job.yaml"]) == (said is not None)
        assert "77" not in files.texts["job.yaml"]


def test_a_run_refuses_a_job_without_rows(planned: Planned, tmp_path: Path) -> None:
    """The file says where they go: with the comment taken away, and such a file, it is a job."""
    _, _, files = planned
    path = tmp_path / "job.yaml"
    path.write_text(files.texts["job.yaml"])
    with pytest.raises(BadInput, match=r"data: is missing\n    try: data: …"):
        read_job(path)
    (tmp_path / "rows.jsonl").write_text("")
    path.write_text(path.read_text().replace("# data: rows.jsonl", "data: rows.jsonl"))
    assert read_job(path).job.data == str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "on_bad", "is_read"),
    [
        ("rows.jsonl", '{"messages": []}', "stop", True),
        ("rows.jsonl", '{"messages": []}', "skip", False),
        ("rows.jsonl", '{"text": "a"}', "stop", True),
        ("rows.csv", "text\na", "stop", True),
    ],
)
def test_a_script_is_given_rows_that_it_reads(name: str, text: str, on_bad: Any, is_read: bool, tmp_path: Path) -> None:
    """Others are left to be filled in, and a note says so; the job has its rows either way."""
    (tmp_path / name).write_text(text)
    job = replace(job_of(JOBS["one GPU, LoRA"]), data=str(tmp_path / name), on_bad_row=on_bad)
    files = api.plan_files(job, chosen(job))
    assert (str(tmp_path / name) in files.texts["train.py"]) is is_read
    assert (SKIPS in files.notes) is not is_read
    path = tmp_path / "job.yaml"
    path.write_text(files.texts["job.yaml"])
    assert (read_job(path).job.data, read_job(path).job.on_bad_row) == (str(tmp_path / name), on_bad)


def test_a_script_is_python(planned: Planned) -> None:
    """Of which every name that is imported is used."""
    _, _, files = planned
    text = files.texts["train.py"]
    tree = ast.parse(text)
    imported = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)
                for alias in node.names}  # fmt: skip
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported <= used
    assert "finefit" not in imported
    compile(tree, "train.py", "exec")


def test_an_engine_has_its_files(planned: Planned) -> None:
    """And no other engine has them."""
    name, _, files = planned
    expected = {"job.yaml", "train.py", "launch.txt"}
    if name.startswith(("DDP", "ZeRO", "FSDP2")):
        expected.add("accelerate.yaml")
    if name.startswith("ZeRO"):
        expected.add("ds_config.json")
    assert files.texts.keys() == expected
    starts = "accelerate launch --config_file accelerate.yaml train.py"
    assert files.launch == (starts if "accelerate.yaml" in expected else "python train.py")


def test_accelerate_reads_its_file(planned: Planned, tmp_path: Path) -> None:
    """With its own loader, which refuses a key that it does not know; and it names the engine that was planned."""
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    launch = pytest.importorskip("accelerate.commands.launch")
    name, _, files = planned
    if "accelerate.yaml" not in files.texts:
        return
    api.write_files(tmp_path / "plan", files)
    path = str(tmp_path / "plan" / "accelerate.yaml")
    read = config_args.load_config_from_file(path)
    kinds = {"DDP": "MULTI_GPU", "ZeRO": "DEEPSPEED", "FSDP2": "FSDP"}
    assert (read.distributed_type.value, read.num_processes) == (kinds[name.replace(",", " ").split()[0]], 2)
    known = launch.launch_command_parser().parse_args(["--config_file", path, "train.py"])
    words = {**read.fsdp_config, **read.deepspeed_config}
    assert all(hasattr(known, word) for word in words)


def test_deepspeed_reads_its_file(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every size that transformers would write in the place of `auto`, and the batch that was planned."""
    _, choice, files = planned
    if "ds_config.json" not in files.texts:
        return
    module = pytest.importorskip("deepspeed.runtime.config")
    words = json.loads(files.texts["ds_config.json"])
    knobs = choice.knobs

    monkeypatch.setattr(module, "dist", SimpleNamespace(get_rank=lambda: 0, get_world_size=lambda: 2))
    read = module.DeepSpeedConfig(words)
    zero, stage = read.zero_config, knobs.zero_stage
    assert stage is not None
    buckets = auto_buckets(HIDDEN, stage)
    assert (int(zero.stage), zero.reduce_bucket_size, zero.overlap_comm) == (
        stage,
        buckets.reduce_bucket_size,
        buckets.overlap_comm,
    )
    if stage == 3:
        assert zero.prefetch_bucket_size == buckets.stage3_prefetch_bucket_size
        assert zero.param_persistence_threshold == buckets.stage3_param_persistence_threshold
        assert zero.max_live_parameters == buckets.stage3_max_live_parameters
        assert zero.gather_16bit_weights_on_model_save
    assert (zero.offload_optimizer is not None, zero.offload_param is not None) == (
        knobs.offload != "none",
        knobs.offload == "all",
    )
    assert zero.offload_optimizer.pin_memory
    assert read.train_batch_size == 8
    assert read.train_micro_batch_size_per_gpu == knobs.per_device_train_batch_size
    assert read.gradient_accumulation_steps == knobs.gradient_accumulation_steps
    assert (read.gradient_clipping, read.bfloat16_config.enabled) == (1.0, True)


def test_transformers_agrees_with_deepspeeds_file(planned: Planned) -> None:
    """It compares each word with the trainer's own, and finds no difference; nor is one left to it."""
    _, _, files = planned
    if "ds_config.json" not in files.texts:
        return
    pytest.importorskip("deepspeed")
    deepspeed = pytest.importorskip("transformers.integrations.deepspeed")
    words = json.loads(files.texts["ds_config.json"])
    assert "auto" not in files.texts["ds_config.json"].replace("autotuning", "")
    read = deepspeed.HfTrainerDeepSpeedConfig(words)
    read.trainer_config_process(_arguments(files.texts["train.py"]))
    read.trainer_config_finalize(_arguments(files.texts["train.py"]), None, 10)
    assert read.mismatches == []


def _arguments(text: str) -> Any:
    """Those of the script's trainer, on two ranks."""
    call = next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "SFTConfig")  # fmt: skip
    told = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant) and word.arg}
    unsaid = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "bf16_full_eval": False}
    more = {"fp16_full_eval": False, "save_on_each_node": False, "world_size": 2}
    return SimpleNamespace(**unsaid, **more, **told, get_warmup_steps=lambda _: 0)
