"""The example of pictures, as its reader runs it: planned, trained, answered with and exported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from finefit import api
from finefit.nouns.receipt import Receipt
from finefit.nouns.sampling import Sampling
from finefit.show.live import Lines

EXAMPLE = Path(__file__).parents[2] / "examples" / "pictures.yaml"
PICTURE = EXAMPLE.parent / "pictures" / "images" / "receipt.png"
pytestmark = pytest.mark.xdist_group("pictures example")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example") / "run"
    api.train(str(EXAMPLE), {"output-dir": str(folder)}, False, Lines())
    return folder


@pytest.fixture(scope="module")
def receipt(run: Path) -> Receipt:
    return api.read_receipt(str(run))


def test_the_receipt_is_within_a_percent(receipt: Receipt) -> None:
    """Full fine-tuning beside a frozen tower: in every phase, to the byte on a processor without accumulation."""
    assert {gap.phase for gap in receipt.phases} >= {"forward", "backward", "optimizer", "evaluation"}
    assert all(gap.gap_percent == 0 for gap in (*receipt.phases, receipt.peak))


def test_it_learns(receipt: Receipt) -> None:
    """Losses fall by a third and more, of the rows and of those held out."""
    assert (receipt.train_loss_last or 9) < 0.67 * (receipt.train_loss_first or 0)
    assert (receipt.eval_loss_after or 9) < 0.67 * (receipt.eval_loss_before or 0)


def test_a_run_answers_and_is_exported(run: Path) -> None:
    """Words and pictures are answered; the export has the processor's files, the trained model's logits, and its
    answers."""
    [answer] = api.generate(str(run), ["What can you do?"], Sampling(max_new_tokens=4), base=False)
    assert isinstance(answer, str)
    exported = api.export(str(run))
    assert (Path(exported.folder) / "preprocessor_config.json").is_file()
    asked = (["What was bought?"], Sampling(max_new_tokens=9), False, [str(PICTURE)])
    assert api.generate(str(run), *asked) == api.generate(str(exported.folder), *asked)


def test_adapters_are_told_to_the_byte_with_layers_checkpointed(tmp_path: Path) -> None:
    """In language model and tower, one layer of the first and all of the second recomputed."""
    words = {"method": "lora", "freeze-vision-tower": "false", "gradient-checkpointing": "1", "max-steps": "2"}
    words |= {"vit-gradient-checkpointing": "true", "output-dir": str(tmp_path / "run")}
    api.train(str(EXAMPLE), words, False, Lines())
    receipt = api.read_receipt(str(tmp_path / "run"))
    assert all(gap.gap_percent == 0 for gap in (*receipt.phases, receipt.peak))


def test_the_model_is_what_its_script_makes(tmp_path: Path) -> None:
    """File by file, but for the weights, which depend on the version of torch."""
    path = EXAMPLE.parent / "pictures" / "make_model.py"
    spec = importlib.util.spec_from_file_location("model_made", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.main(tmp_path)
    shipped = path.parent / "model"
    names = {each.name for each in shipped.iterdir()}
    assert names == {each.name for each in tmp_path.iterdir()}
    for name in names - {"model.safetensors"}:
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes()
