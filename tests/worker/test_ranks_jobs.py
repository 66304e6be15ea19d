"""Jobs on several ranks as a user has them: from a file to a receipt."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from finefit import api
from finefit.cli.main import run
from finefit.errors import BadInput
from finefit.lower.ranks import of_ranks
from finefit.nouns.engine import DDP, FSDP2, Buckets, DeepSpeed
from finefit.nouns.knobs import Knobs
from finefit.world import engines_here
from finefit.world.engines_here import refuse_lacking

pytestmark = pytest.mark.xdist_group("ranks")

ROOT = Path(__file__).parent.parent.parent
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is an extra: '.[deepspeed]'")


class Silent:
    """Nobody looks."""

    def note(self, text: str) -> None: ...

    def stage(self, text: str) -> None: ...


@NEEDS_DEEPSPEED
@pytest.mark.wide(1)
@pytest.mark.parametrize("name", ["zero2", "zero3-offload"])
def test_an_example_is_trained_and_held_as_predicted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The held-out loss falls; what each rank holds between two steps is what was predicted, within a thousandth; and
    what was saved is read back."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    code, said = run(["train", f"examples/{name}.yaml", "--json"]), capsys.readouterr()
    assert code == 0, said.err[-3000:]
    receipt = json.loads(said.out)
    assert receipt["machine"] == "2xcpu"
    assert receipt["eval_loss_after"] < receipt["eval_loss_before"]
    assert (receipt["measured_by"], receipt["peak"], receipt["phases"]) == ("ranks", None, [])
    assert [gap["phase"] for gap in receipt["held"]] == ["parameters", "gradients", "optimizer state", "together"]
    for gap in receipt["held"]:
        assert gap["predicted_bytes"] == pytest.approx(gap["measured_bytes"], rel=1e-3)
    assert len(receipt["ranks"]) == 2
    assert any("not the peaks of phases" in note for note in receipt["notes"])
    assert (tmp_path / "runs" / f"{name}-1" / "adapter").is_dir()


def test_without_deepspeed_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is refused before anything runs, with the line that installs it; DDP needs none."""
    monkeypatch.setattr(engines_here, "find_spec", lambda _: None)
    with pytest.raises(BadInput, match=r"DeepSpeed is not installed(.|\n)*pip install 'finefit\[deepspeed\]'"):
        api.plan_job(str(ROOT / "examples" / "zero2.yaml"), {}, Silent())  # type: ignore[arg-type]
    refuse_lacking(DDP(2))
    refuse_lacking(None)


def test_orders_say_the_engine() -> None:
    """As transformers' trainer reads it: DeepSpeed's sizes written out, gloo on a processor, no optimizer compiled."""
    alone = {"device": "cpu", "model": {"dtype": "bfloat16"}, "trainer": {"max_grad_norm": 0.5, "optim": "x"}}
    knobs = Knobs(64, 2, 3, dtype="float32", mixed_precision="bf16", optim="adamw_torch")
    assert of_ranks(alone, None, knobs, has_compiler=True) == alone
    zero = DeepSpeed(4, 3, "all", Buckets(10, 9, 8))
    told = of_ranks(alone, zero, knobs, has_compiler=True)
    config = told["trainer"]["deepspeed"]
    assert (config["train_batch_size"], config["gradient_clipping"], config["bf16"]) == (24, 0.5, {"enabled": True})
    assert config["zero_force_ds_cpu_optimizer"] is False
    assert (told["trainer"]["bf16"], told["trainer"]["optim"]) == (True, "adamw_torch")
    assert told["engine"] == {"name": "deepspeed", "ranks": 4}
    assert told["model"]["dtype"] == "bfloat16"
    on_gpu = of_ranks(alone | {"device": "cuda"}, zero, knobs, has_compiler=True)
    assert "zero_force_ds_cpu_optimizer" not in on_gpu["trainer"]["deepspeed"]
    assert of_ranks(alone, DDP(2), knobs, has_compiler=True)["trainer"]["ddp_backend"] == "gloo"
    fsdp = of_ranks(alone | {"device": "cuda"}, FSDP2(2), knobs, has_compiler=True)
    assert (fsdp["trainer"]["fsdp"], fsdp["model"]["dtype"], fsdp["engine"]["name"]) == (True, "float32", "fsdp2")
