"""A run folder: there completely or not at all, and it says what it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finefit.errors import BadInput
from finefit.nouns.plan import Plan
from finefit.run import folder

MakePlan = Callable[..., Plan]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_plan_is_read_as_it_was_written(make_plan: MakePlan, full: bool, on_gpu: bool) -> None:
    """plan.json loses nothing."""
    plan = make_plan(full=full, on_gpu=on_gpu, lora_target_modules=("q_proj",), gradient_checkpointing=1)
    assert folder.read_plan(folder.create(plan, "job")) == plan


def test_plans_from_before_time_was_predicted_are_read(make_plan: MakePlan) -> None:
    """What they lack is unknown."""
    run = folder.create(make_plan(), "job")
    written = json.loads(run.plan.read_text())
    newer = {key: written.pop(key) for key in ("pace", "work", "chosen")}
    run.plan.write_text(json.dumps(written))
    assert set(newer.values()) == {None}
    assert folder.read_plan(run) == make_plan()


def test_runs_are_numbered_after_their_job(make_plan: MakePlan) -> None:
    """Runs without a wished place are runs/<job>-1, -2 and so on, and are listed in that order."""
    made = [folder.create(make_plan(), "poems") for _ in range(3)]
    assert [str(run.path) for run in made] == ["runs/poems-1", "runs/poems-2", "runs/poems-3"]
    assert {run.path for run in folder.runs_in()} == {run.path for run in made}


def test_a_job_can_be_run_again(make_plan: MakePlan) -> None:
    """The job.yaml in a run has every wish of the job, but not the place of that run."""
    run = folder.create(make_plan(output_dir="somewhere", max_steps=7, lora_target_modules=("a", "b")), "job")
    assert run.path == Path("somewhere")
    job = folder.read_job(run)
    assert (job["max_steps"], job["lora_target_modules"]) == (7, ["a", "b"])
    assert "output_dir" not in job
    assert None not in job.values()


def test_orders_have_whole_paths(make_plan: MakePlan) -> None:
    """A run can be resumed from another working directory."""
    run = folder.create(make_plan(), "job")
    orders = json.loads(run.orders.read_text())
    assert Path(orders["data"]["train"]) == Path.cwd() / "rows.jsonl"
    assert Path(orders["model"]["folder"]) == Path.cwd() / "model"
    assert orders["data"]["eval"] is None
    assert orders["resume"] is False


def test_nothing_is_written_over(make_plan: MakePlan) -> None:
    """A folder that holds something is refused; an empty one is taken."""
    Path("taken").mkdir()
    folder.create(make_plan(output_dir="taken"), "job")
    with pytest.raises(BadInput, match="not empty"):
        folder.create(make_plan(output_dir="taken"), "job")


def test_a_folder_is_there_completely_or_not_at_all(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the making of a run folder breaks off, no run is there."""

    plan = make_plan()
    for name in ("_job_yaml", "_orders"):
        with monkeypatch.context() as broken:
            broken.setattr(folder, name, lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                folder.create(plan, "job")
        assert list(folder.RUNS.iterdir()) == []


def test_a_resumed_run_is_told_to_go_on(make_plan: MakePlan) -> None:
    """A job's newest run is the one with the highest number; its orders then say to go on."""
    folder.create(make_plan(), "poems")
    newest = folder.create(make_plan(), "poems")
    assert folder.newest_of("poems") == folder.open_run(Path("runs/poems-2")) == newest
    run = folder.to_resume(newest)
    assert json.loads(run.orders.read_text())["resume"] is True


def test_what_cannot_be_resumed_says_why(make_plan: MakePlan) -> None:
    """A complete run, a folder that is no run, and a job without runs."""
    run = folder.create(make_plan(), "done")
    run.receipt.write_text("{}")
    Path("other").mkdir()
    with pytest.raises(BadInput, match="complete"):
        folder.to_resume(run)
    with pytest.raises(BadInput, match=r"no plan\.json"):
        folder.open_run(Path("other"))
    with pytest.raises(BadInput, match="no run"):
        folder.newest_of("new")
