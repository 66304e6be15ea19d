"""What a run does where its job leaves something open: as the plan says, and as its own rows allow."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_plan import Heard

from finefit import api
from finefit.api import deciding
from finefit.api.deciding import RUNGS, Decided, Wish, decide
from finefit.api.searching import Sought
from finefit.catalog.models import model_named
from finefit.cli.main import run
from finefit.lower.images import cannot_show
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.machine import Gpu
from finefit.nouns.plan import Plan
from finefit.nouns.planned import NoFit
from finefit.nouns.range import Range
from finefit.rehearsal.files import checked_files
from finefit.rehearsal.recipe import Recipe
from finefit.run import folder
from finefit.search.choice import choose
from finefit.world import gpus
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model

pytestmark = pytest.mark.xdist_group("decided")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
MODEL = "llama-3.2-1b"
"""Whose tapes are shipped."""
WORDS, BATCH = 1000, 8
A100 = "A100 SXM4 40GB"
PLENTY = 10.0
"""Times what a tape says: nothing fits so."""


class Told(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def job_file(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on the model with a small tokenizer, and a file of weights that has none: no rehearsal reads them."""
    folder = tmp_path_factory.mktemp("decided")
    model, rows, job = folder / "model", folder / "rows.jsonl", folder / "job.yaml"
    shutil.copytree(model_folder, model)
    known = model_named(MODEL)
    assert known is not None
    (model / "config.json").write_text(json.dumps(known.config))
    (model / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    with rows.open("w") as file:
        for number in range(20):
            words = " ".join(f"w{(number + place) % 90}" for place in range(WORDS if number == 7 else 30 * number + 9))
            asked, answer = {"role": "user", "content": "w1"}, {"role": "assistant", "content": words}
            file.write(json.dumps({"messages": [asked, answer]}) + "\n")
    job.write_text(json.dumps({"model": str(model), "data": str(rows), "global_batch_size": BATCH}))
    return str(job)


Replays = Callable[..., None]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Replays:
    """In the place of rehearsals, what the shipped tape says of the recipe, times something."""

    def replay(high: float = 1.0, typical: float = 1.0) -> None:
        def on_rows(job: Job, _files: object, recipe: Recipe, _say: object) -> tuple[Estimate, Any]:
            knobs = replace(recipe.knobs, max_length=WORDS + 4)
            said = api.estimate(job.model, method=recipe.method, knobs=knobs, gpu=job.gpu, rehearses=False)
            device = said.ledger.device
            assert device is not None
            device = Range(device.low, int(device.typical * typical), int(device.high * high))
            least = max(said.ledger.smallest_bytes or 0, device.typical)
            ledger = replace(said.ledger, device=device, smallest_bytes=least)
            return replace(said, ledger=ledger), SimpleNamespace(notes=())

        monkeypatch.setattr(deciding, "on_rows", on_rows)

    replay()
    return replay


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """An A100 with so many GiB, in this machine and in the catalogue."""

    def with_memory(gib: float) -> None:
        gpu = Gpu(A100, int(gib * 2**30), (8, 0))
        monkeypatch.setattr(gpus, "gpu_named", lambda _: gpu)
        monkeypatch.setattr(gpus, "gpu_here", lambda: gpu)

    return with_memory


def job_with(job_file: str, **options: str) -> Job:
    return read_job(job_file, {name.replace("_", "-"): value for name, value in options.items()}).job


def decided(job: Job, told: Told | None = None) -> Decided | NoFit:
    machine, model = machine_named(job.gpu), find_model(job.model)
    recipe = Recipe(model, api.method_of(job), choose(job, machine), machine)
    return decide(Wish(job, checked_files(job), recipe, told or Told()))


def chosen(found: Decided | NoFit) -> Estimate:
    assert isinstance(found, Decided)
    return found.tried.estimate


def test_a_run_is_what_the_plan_says(job_file: str) -> None:
    """Rehearsed with its own rows: the same knobs, under the same line; how long it takes is known before it begins, of
    the very tokens of its rows; and all of that is read back as it was written."""
    told = Told()
    plan = api.plan_job(job_file, {"gpu": "RTX4060"}, told)
    planned = api.plan(job_with(job_file, gpu="RTX4060"))
    assert isinstance(plan, Plan)
    assert planned.choice is not None
    assert replace(plan.knobs, max_length=0) == replace(planned.choice.knobs, max_length=0)
    assert plan.chosen is not None
    assert plan.chosen.alternatives == planned.alternatives
    assert plan.ledger.device is not None
    assert plan.machine.gpu is not None
    assert plan.ledger.device.high <= plan.machine.gpu.sure_bytes
    assert plan.pace is not None
    assert plan.work is not None
    assert plan.data is not None
    assert (plan.work.steps, plan.work.tokens) == (plan.steps, plan.data.total_tokens)
    assert plan.orders["trainer"]["per_device_train_batch_size"] == plan.knobs.per_device_train_batch_size
    written = folder._plans().dump_json(plan)
    assert folder._plans().validate_json(written) == plan


@pytest.mark.usefixtures("replays")
@pytest.mark.parametrize("gpu", ["RTX2060-6GB", "RTX4060", "T4", "A100-40GB"])
def test_plan_and_run_choose_alike(job_file: str, gpu: str) -> None:
    """Whatever the card; and micro-batch × accumulation is the global batch."""
    job = job_with(job_file, gpu=gpu)
    planned, knobs = api.plan(job), chosen(decided(job)).knobs
    assert planned.choice is not None
    assert replace(knobs, max_length=0) == replace(planned.choice.knobs, max_length=0)
    assert knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps == BATCH


def sought_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> tuple[Sought, bool]:
    """What the search is asked, and whether for engines."""
    asked: list[tuple[Sought, bool]] = []
    monkeypatch.setattr(deciding, "search_for", lambda about, *_, has_engines: asked.append((about, has_engines)))
    machine, model = machine_named(job.gpu), find_model(job.model)
    recipe = Recipe(model, api.method_of(job), choose(job, machine), machine)
    wish = Wish(job, checked_files(job, cannot_show(model)), recipe, Told())
    assert not wish.is_settled
    wish.searched()
    return asked[0]


@pytest.mark.parametrize(("gpu", "has_engines"), [("RTX4060", False), ("2xRTX4060", True)])
def test_engines_are_sought_for_several_gpus(
    job_file: str, monkeypatch: pytest.MonkeyPatch, gpu: str, has_engines: bool
) -> None:
    """One GPU is trained on as it is, unless the job pins an engine."""
    about, asked = sought_for(job_with(job_file, gpu=gpu), monkeypatch)
    assert asked == has_engines
    assert not about.shows


def test_a_search_knows_that_rows_show_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """With which not every engine goes (tests/search/test_dials.py)."""
    about, asked = sought_for(job_with(str(EXAMPLES / "pictures.yaml"), gpu="2xRTX4060"), monkeypatch)
    assert asked
    assert about.shows


@pytest.mark.wide(0)
@pytest.mark.usefixtures("replays")
@pytest.mark.parametrize(
    "pins",
    [{"gpu": "2xRTX4060", "method": "full"}, {"gpu": "2xA100-40GB", "zero_stage": "2", "offload": "optimizer"}],
    ids=["open", "pinned"],
)
def test_several_gpus_train_under_the_plans_engine(job_file: str, pins: dict[str, str]) -> None:
    """What a search over engines finds, or the job pins; each GPU has its part of the global batch. No tape of these is
    shipped: some minutes."""
    job = job_with(job_file, **pins)
    planned, found = api.plan(job), chosen(decided(job))
    assert planned.choice is not None
    assert found.engine == planned.choice.engine
    assert replace(found.knobs, max_length=0) == replace(planned.choice.knobs, max_length=0)
    assert 2 * found.knobs.per_device_train_batch_size * found.knobs.gradient_accumulation_steps == BATCH


@pytest.mark.usefixtures("replays")
def test_more_memory_never_makes_a_run_slower(job_file: str, card: Callable[[float], None]) -> None:
    """Of one card with more and more of it; with less, more is recomputed, until nothing fits."""
    speeds = []
    for gib in (2.5, 3.5, 4.5, 5.0, 6.0, 8.0):
        card(gib)
        found = decided(job_with(job_file, gpu=A100))
        pace = None if isinstance(found, NoFit) else found.tried.estimate.pace
        speeds.append(0.0 if pace is None else pace.tokens_per_second)
    assert speeds == sorted(speeds)
    assert speeds[0] == 0
    assert len(set(speeds)) > 3


@pytest.mark.usefixtures("replays")
@pytest.mark.parametrize(
    "pins",
    [
        {"per_device_train_batch_size": "2"},
        {"gradient_accumulation_steps": "2"},
        {"gradient_checkpointing": "5"},
        {"gradient_checkpointing": "none", "per_device_train_batch_size": "1"},
    ],
)
def test_what_is_pinned_is_kept(job_file: str, pins: dict[str, str]) -> None:
    """Exactly; and nothing else of the global batch moves."""
    knobs = chosen(decided(job_with(job_file, gpu="A100-40GB", **pins))).knobs
    kept = {name: 0 if value == "none" else int(value) for name, value in pins.items()}
    assert {name: getattr(knobs, name) for name in pins} == kept
    assert knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps == BATCH


def test_where_its_own_rows_take_more_a_run_goes_rungs_down(
    job_file: str, replays: Replays, card: Callable[[float], None]
) -> None:
    """Each told in a line; the last fits, and what the plan had chosen does not."""
    card(6.0)
    job, told = job_with(job_file, gpu=A100), Told()
    before = chosen(decided(job))
    replays(high=1.3)
    after = chosen(decided(job, told))
    assert before.ledger.device is not None
    assert after.ledger.device is not None
    assert before.ledger.device.high * 1.3 > 6 * 2**30 >= after.ledger.device.high
    assert after.ledger.peak_bytes < before.ledger.peak_bytes
    assert 1 <= len(told.notes) < RUNGS
    assert all("with the job's own rows" in note and "one rung lower" in note for note in told.notes)
    assert after.knobs.per_device_train_batch_size * after.knobs.gradient_accumulation_steps == BATCH


def test_rungs_are_bounded(job_file: str, replays: Replays) -> None:
    """Where no rung would do, at most so many are rehearsed, and the answer says of each what it lacks."""
    replays(high=PLENTY, typical=PLENTY)
    told = Told()
    found = decided(job_with(job_file, gpu="RTX4060"), told)
    assert isinstance(found, NoFit)
    assert len([stage for stage in told.stages if "rehearsing" in stage]) <= RUNGS
    assert 1 < len(found.planned.passed_over) <= RUNGS
    assert found.planned.choice is None
    assert found.planned.nearest is not None
    assert found.planned.nearest.knobs.gradient_checkpointing == "all"


def test_what_is_pinned_and_does_not_fit_is_told_before_the_run(
    job_file: str, card: Callable[[float], None], replays: Replays, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With exit code 3, what it takes and what would make it fit; no folder is made, and no worker started."""
    card(6.0)
    replays()
    monkeypatch.chdir(tmp_path)
    words = ["train", job_file, "--gpu", A100, "--per-device-train-batch-size", "8", "--gradient-checkpointing", "none"]
    assert run(words) == 3
    out = capsys.readouterr().out
    for part in (f"nothing fits {A100}", "what lacks least", "does not fit", "checkpoint every layer", "micro-batch 1"):
        assert part in out
    assert run([*words, "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["choice"], said["verdict"]) == (None, "no")
    assert said["recipe"]["per_device_train_batch_size"] == 8
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_pinned_runs_where_it_is_tight(job_file: str, replays: Replays) -> None:
    """What is likely is on the card, the worst case is not: a note where the job says so itself; else no run, and how
    to say so."""
    replays(high=PLENTY)
    pins = {"per_device_train_batch_size": "1", "gradient_checkpointing": "all"}
    found = decided(job_with(job_file, gpu="RTX4060", **pins))
    assert chosen(found).verdict == "tight"
    assert isinstance(found, Decided)
    assert any(note.startswith("this is tight") for note in found.notes)
    left_open = decided(job_with(job_file, gpu="RTX4060"))
    assert isinstance(left_open, NoFit)
    insist = "per_device_train_batch_size: 1, gradient_checkpointing: all"
    assert any(insist in note for note in left_open.planned.notes)


@pytest.mark.usefixtures("replays")
def test_a_card_that_the_catalogue_lacks_is_trained_on_as_usual(job_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast it is, is not known, so nothing is called the fastest; that is said, and no speed is made up."""
    monkeypatch.setattr(gpus, "gpu_here", lambda: Gpu("Wonder 9", 64 << 30, (8, 0)))
    job = job_with(job_file, gpu="auto")
    found = decided(job)
    assert isinstance(found, Decided)
    assert (found.chosen, found.tried.estimate.pace) == (None, None)
    assert found.tried.estimate.knobs.gradient_checkpointing == "all"
    assert any("how fast Wonder 9 is, is not known" in note for note in found.notes)


def test_a_run_for_a_gpu_that_is_not_here_is_refused(
    job_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bad input, before anything is rehearsed or written: never a run on the processor in its place."""
    monkeypatch.setattr(gpus, "gpu_here", lambda: None)
    monkeypatch.chdir(tmp_path)
    asked: list[Mapping[str, Any]] = []
    monkeypatch.setattr(deciding, "on_rows", asked.append)
    assert run(["train", job_file, "--gpu", "RTX4090"]) == 2
    said = capsys.readouterr().err
    assert "gpu: no GeForce RTX 4090 is here" in said
    assert "try: " in said
    assert (asked, list(tmp_path.iterdir())) == ([], [])
