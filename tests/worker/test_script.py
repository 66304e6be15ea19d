"""The standalone script of a plan, beside finefit's own run of the same orders."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.lower.rows import with_rows
from finefit.lower.script import script
from finefit.nouns.formats.alpaca import ALPACA

STEPS = 2
QUANTIZATION = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
INSTRUCTIONS = "instruction,input,output\n" + "".join(
    f"w{n} w2,{'w3' if n % 2 else ''},w{n + 4} w1\n" for n in range(12)
)
RECIPES: dict[str, dict[str, Any]] = {
    "lora, one layer of two checkpointed": {},
    "full, whole logits, all checkpointed": {
        "peft": None,
        "adapter_dtype": None,
        "loss": "full",
        "gradient_checkpointing": "all",
    },
    "qlora, none checkpointed": {"gradient_checkpointing": 0, "quantization": QUANTIZATION},
    "packed": {"packs": True},
    "Alpaca's rows, in CSV": {"instructs": True},
}


def made(orders: dict[str, Any], quantization: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `job_orders` has beside what these tests are given."""
    told = orders | {"environment": {}, "data": orders["data"] | {"eval": None}}
    if quantization is not None:
        told["model"] = told["model"] | {"quantization": quantization | {"bnb_4bit_compute_dtype": "float32"}}
    return told


def run_alone(text: str, folder: Path) -> list[dict[str, Any]]:
    """What the script's own trainer logs, without finefit on its path."""
    folder.mkdir()
    path = folder / "train.py"
    path.write_text(text + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", str(path)],
        env=environment | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((folder / "out" / "checkpoints" / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    assert (folder / "out" / "adapter").is_dir()
    return [one for one in state["log_history"] if "loss" in one]


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", RECIPES)
def test_a_script_trains_as_finefit_does(
    name: str, new_run: Callable[..., Any], orders: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Loss, gradient norm and learning rate of each step are those of finefit's own run, to the last digit."""
    changes = dict(RECIPES[name])
    quantization, packs = changes.pop("quantization", None), changes.pop("packs", False)
    instructs = changes.pop("instructs", False)
    told = made(orders(max_steps=STEPS, **changes), quantization)
    if instructs:
        (tmp_path / "rows.csv").write_text(INSTRUCTIONS)
        told["data"]["train"] = str(tmp_path / "rows.csv")
        told = with_rows(told, ALPACA, {})
    told["trainer"] |= {"padding_free": True} if packs else {}
    run = new_run(**told)
    assert run.finish() == 0, run.log.read_text()[-3000:]
    alone = run_alone(script(told, {}, "python train.py"), tmp_path / "alone")
    keys = ("loss", "grad_norm", "learning_rate")
    ours = [tuple(event[key] for key in keys) for event in run.events("step")]
    assert [tuple(one[key] for key in keys) for one in alone] == ours
    assert len(ours) == STEPS
    assert ours[0][0] != ours[1][0]


def test_a_script_of_preferences_trains(orders: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Two steps of DPO, with some layers checkpointed: they still are after the reference was asked."""
    rows = [{"prompt": f"w{row}", "chosen": f"w{row + 1} w2", "rejected": f"w{row + 2}"} for row in range(8)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = made(orders(max_steps=STEPS))
    told |= {"data": {"train": str(data), "eval": None}}
    told |= {"task": {"name": "dpo", "reference": "adapter_off", "quantization": None}}
    text = script(told, {}, "python train.py")
    checked = text.replace(
        "    trainer.save_model",
        "    layers = [m for m in trainer.model.modules() if isinstance(m, GradientCheckpointingLayer)]\n"
        "    assert [m.gradient_checkpointing for m in layers] == [True, False]\n    trainer.save_model",
    )
    assert checked != text
    losses = [one["loss"] for one in run_alone(checked, tmp_path / "alone")]
    assert len(losses) == STEPS


def test_a_script_without_rows_says_so(orders: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """It ends before a model is loaded."""
    told = made(orders()) | {"data": {"train": "", "eval": None}}
    text = script(told, {}, "python train.py")
    compile(ast.parse(text), "train.py", "exec")
    namespace: dict[str, Any] = {"__name__": "script", "__file__": str(tmp_path / "train.py")}
    exec(text, namespace)
    with pytest.raises(SystemExit, match="DATA is empty"):
        namespace["main"]()
