"""A run as a folder: job.yaml plan.json orders/ events.jsonl worker.log checkpoints/ adapter/ receipt.json.

Knows where each part lies, and makes the folder so that it is there completely or not at all. What is on disk is the
state of a run; nothing else is.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finefit import whole
from finefit.errors import BadInput, Problem

from .aside import aside

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from finefit.nouns.plan import Plan

RUNS = Path("runs")
"""Where runs lie that no job puts elsewhere."""


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def job(self) -> Path:
        return self.path / "job.yaml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def orders(self) -> Path:
        return self.path / "orders" / "train.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "worker.log"

    @property
    def recording(self) -> Path:
        return self.path / "recording.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The adapter, or the whole model after full fine-tuning."""
        return self.path / "adapter"

    @property
    def receipt(self) -> Path:
        return self.path / "receipt.json"


def create(plan: Plan, job_name: str) -> RunFolder:
    """The folder of a run that is about to start, where its job wishes it or under the next free name in runs/."""
    wished = plan.job.output_dir
    if wished is None:
        return _create_next(plan, job_name)
    path = Path(wished)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = "name another folder, or go on with that run: --resume"
        raise BadInput(Problem("is not empty", where=f"output_dir: {wished}", hint=hint))
    return _made(plan, path)


def runs_in(folder: Path = RUNS) -> list[RunFolder]:
    """Oldest first."""
    if not folder.is_dir():
        return []
    found = [RunFolder(path) for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted((run for run in found if run.plan.is_file()), key=lambda run: run.plan.stat().st_mtime)


def open_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    if not run.plan.is_file():
        near = ", ".join(str(other.path) for other in runs_in()[-3:])
        hint = f"runs here: {near}" if near else ""
        raise BadInput(Problem("is not a run folder: it has no plan.json", where=str(path), hint=hint))
    return run


def to_resume(run: RunFolder) -> RunFolder:
    """The run, told to go on from its last complete checkpoint."""
    if run.receipt.exists():
        raise BadInput(Problem("this run is complete: it has a receipt", where=str(run.path)))
    whole.write(run.orders, json.dumps(json.loads(run.orders.read_text()) | {"resume": True}, indent=1))
    return run


def newest_of(job_name: str) -> RunFolder:
    """The newest run of a job that does not say where its runs lie."""
    runs = [run for run in runs_in() if re.fullmatch(re.escape(job_name) + r"-\d+", run.path.name)]
    if not runs:
        raise BadInput(Problem("this job has no run that could be resumed", where=job_name))
    return runs[-1]


@cache
def _plans() -> TypeAdapter[Plan]:
    """Built when one is read or written: it takes a tenth of a second, and an estimate has no plan."""
    from pydantic import TypeAdapter

    from finefit.nouns.plan import Plan

    return TypeAdapter(Plan)


def read_plan(run: RunFolder) -> Plan:
    return _plans().validate_json(run.plan.read_bytes())


def read_job(run: RunFolder) -> dict[str, Any]:
    import yaml

    job: dict[str, Any] = yaml.safe_load(run.job.read_text())
    return job


def _create_next(plan: Plan, job_name: str) -> RunFolder:
    """Two starts at once never get the same name: the rename of one of them fails."""
    number = 1
    while True:
        path = RUNS / f"{job_name}-{number}"
        number += 1
        if path.exists():
            continue
        try:
            return _made(plan, path)
        except (OSError, BadInput):
            if not path.exists():
                raise


def _made(plan: Plan, path: Path) -> RunFolder:
    with aside(path) as partial:
        _fill(RunFolder(partial), plan)
    return RunFolder(path)


def _fill(run: RunFolder, plan: Plan) -> None:
    run.orders.parent.mkdir(parents=True)
    run.job.write_text(_job_yaml(plan))
    run.plan.write_bytes(_plans().dump_json(plan, indent=1))
    whole.write(run.orders, json.dumps(_orders(plan), indent=1))


def _job_yaml(plan: Plan) -> str:
    """What the user wishes; where the run lies is not repeated, so that the same job can be run again."""
    import yaml

    wishes = {key: value for key, value in asdict(replace(plan.job, output_dir=None)).items() if value is not None}
    targets = wishes["lora_target_modules"]
    wishes["lora_target_modules"] = targets if isinstance(targets, str) else list(targets)
    return yaml.safe_dump(wishes, sort_keys=False, allow_unicode=True)


def _orders(plan: Plan) -> dict[str, Any]:
    """The plan's, with whole paths: a run may be resumed from anywhere."""
    orders = dict(plan.orders)
    data, model = orders["data"], orders["model"]
    return orders | {
        "data": {**data, "train": _whole(data["train"]), "eval": _whole(data["eval"])},
        "model": model | {"folder": _whole(model["folder"])},
        "resume": False,
    }


def _whole(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
