"""Adapters with DoRA and rsLoRA: trained for real, gone on with, answered by and exported."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_quantized import NF4

from finefit import api
from finefit.nouns.sampling import Sampling
from finefit.show import live

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.xdist_group("dora"), pytest.mark.wide(1)]

PEFT = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": "all-linear", "use_dora": True}


@pytest.mark.parametrize("words", [None, NF4], ids=["whole", "4 bits"])
def test_a_killed_run_goes_on_to_the_bit(new_run: Callable[..., Any], orders: Any, words: Any) -> None:
    """Trained lengths are kept with the adapter, and come back with it."""
    told = {"model": orders()["model"] | {"quantization": words}, "peft": PEFT, "num_train_epochs": 1.0}
    whole, killed = new_run(**told), new_run(**told)
    assert whole.finish() == 0, whole.log.read_text()
    assert killed.kill_when(lambda: killed.at_step(4)) == -signal.SIGKILL
    assert killed.finish(resume=True) == 0, killed.log.read_text()
    assert killed.curve() == whole.curve()
    assert whole.events("reloaded")[0]["max_difference"] == 0.0


@pytest.fixture(scope="module", params=["lora", "qlora4"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dora")
    job = {"model": str(EXAMPLES / "base"), "data": str(EXAMPLES / "stdlib" / "train.jsonl"), "gpu": "cpu"}
    job |= {"method": request.param, "output_dir": str(folder / "run"), "lora_r": 4, "learning_rate": 1e-3}
    job |= {"use_dora": True, "use_rslora": True, "max_steps": 2, "global_batch_size": 2}
    (folder / "job.yaml").write_text(json.dumps(job))
    api.train(str(folder / "job.yaml"), {}, False, live.Lines())
    return folder / "run"


def test_the_receipt_of_dora_is_its_plan(run: Path) -> None:
    """To the byte, in every phase."""
    """To the byte, in every phase."""
    receipt = api.read_receipt(str(run))
    assert receipt.phases
    assert receipt.peak is not None
    assert all(gap.gap_percent == 0 for gap in (*receipt.phases, receipt.peak))


def test_an_adapter_says_what_it_is(run: Path) -> None:
    """To PEFT, whoever reads it."""
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert config["use_dora"]
    assert config["use_rslora"]


def test_an_export_of_dora_answers_as_its_run(run: Path) -> None:
    """Lengths and scale are merged; beside 4 bits, into the weights as they were before they were packed."""
    done = api.export(str(run), run.parent / "out")
    assert 0 <= done.difference.max_difference <= done.tolerance
    assert api.generate(str(run), ["What does len do?"], Sampling(6))
    assert api.generate(done.folder, ["What does len do?"], Sampling(6))
    card = (Path(done.folder) / "README.md").read_text()
    assert "DoRA (r 4, alpha 32, rsLoRA" in card
