"""Pre-training: the example, from its command to its receipt."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from finefit import api
from finefit.errors import BadInput
from finefit.nouns.receipt import Receipt
from finefit.nouns.sampling import Sampling
from finefit.show.live import Lines

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.xdist_group("from scratch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that has no weights."""
    made = tmp_path_factory.mktemp("scratch") / "model"
    shutil.copytree(EXAMPLES / "base", made, ignore=shutil.ignore_patterns("*.safetensors"))
    return made


@pytest.fixture(scope="module")
def receipt(folder: Path) -> Receipt:
    overrides = {"model": str(folder), "max_steps": "20", "output_dir": str(folder.parent / "run")}
    found = api.train(str(EXAMPLES / "from_scratch.yaml"), overrides, False, Lines())
    assert isinstance(found, Receipt)
    return found


def test_a_model_that_knows_nothing_learns(receipt: Receipt, folder: Path) -> None:
    """It begins where every word is as likely as any other, and ends lower, also on rows that it has not seen."""
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert receipt.eval_loss_before == pytest.approx(math.log(words), rel=0.02)
    assert receipt.train_loss_first is not None
    assert receipt.train_loss_last is not None
    assert receipt.eval_loss_after is not None
    assert receipt.train_loss_last < receipt.train_loss_first - 2
    assert receipt.eval_loss_after < receipt.eval_loss_before - 2


def test_its_memory_is_as_predicted(receipt: Receipt) -> None:
    """In every phase."""
    assert receipt.peak is not None
    assert all(abs(gap.gap_percent) < 1 for gap in (*receipt.phases, receipt.peak))


def test_it_has_no_base_to_ask(receipt: Receipt, folder: Path) -> None:
    run, sampling = str(folder.parent / "run"), Sampling(4)
    assert api.generate(run, ["What is a list?"], sampling, False)
    with pytest.raises(BadInput, match="no base model"):
        api.generate(run, ["What is a list?"], sampling, True)


def test_a_folder_without_weights_is_refused_where_they_are_needed(folder: Path) -> None:
    """The word `from_scratch` makes the difference."""
    with pytest.raises(BadInput, match="no weights"):
        api.train(str(EXAMPLES / "quickstart.yaml"), {"model": str(folder)}, False, Lines())
