"""Jobs for real models and cards (examples/systems), at toy size: another model, on the processor, a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from finefit import api
from finefit.show.live import Lines
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEMS = sorted((EXAMPLES / "systems").glob("*.yaml"))
SMALL = {"gpu": "cpu", "max-steps": "5", "global-batch-size": "2", "learning-rate": "3e-3"}


def shortest(file: Path, count: int, into: Path) -> str:
    """So many rows, the fewest letters first."""
    lines = sorted(file.read_text(encoding="utf-8").splitlines(), key=len)[:count]
    path = into / file.name
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.wide(1)
@pytest.mark.parametrize("job", SYSTEMS, ids=lambda path: path.stem)
def test_a_system_trains_as_its_plan_says(job: Path, tmp_path: Path) -> None:
    """Its held-out loss falls, and its receipt is exact in every phase."""
    words = SMALL | {"model": str(EXAMPLES / "pictures/model"), "output-dir": str(tmp_path / "run")}
    wished = read_job(job).job
    if "pictures" not in job.stem:  # whose rows name their images from where they lie
        rows = {"data": shortest(Path(wished.data), 12, tmp_path)}
        rows |= {"eval-data": shortest(Path(wished.eval_data or ""), 2, tmp_path)}
        words |= {"model": str(EXAMPLES / "base"), **rows}
    api.train(str(job), words, False, Lines())
    receipt = api.read_receipt(str(tmp_path / "run"))
    assert (receipt.eval_loss_after or 9) < (receipt.eval_loss_before or 0)
    assert all(abs(gap.gap_percent) < 1 for gap in (*receipt.phases, receipt.peak))


@pytest.mark.parametrize("job", SYSTEMS, ids=lambda path: path.stem)
def test_its_model_and_its_cards_are_known(job: Path) -> None:
    """Without a network: so it can be planned before anything is fetched."""
    wished = read_job(job).job
    assert find_model(wished.model, trust_remote_code=False).layers
    assert machine_named(wished.gpu).gpu is not None
