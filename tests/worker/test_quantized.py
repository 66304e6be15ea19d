"""Runs on quantised weights, for real, on the processor."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import recipes
from safetensors import safe_open

from finefit.worker.build import empty_model, read_config
from finefit.worker.quantized import is_quantized

NewRun = Callable[..., Any]

NF4 = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "float32",
}


def quantized(new_run: NewRun, model: dict[str, Any], words: dict[str, Any], epochs: float = 1.0) -> Any:
    return new_run(model=model | {"quantization": words}, num_train_epochs=epochs)


@pytest.mark.parametrize("words", [NF4, {"load_in_8bit": True}], ids=["4 bits", "8 bits"])
def test_a_killed_quantised_run_goes_on_to_the_bit(new_run: NewRun, orders: Any, words: dict[str, Any]) -> None:
    """Adapters and their moments keep float32, so a resumed run computes what it would have; what is saved is it."""
    model = orders()["model"]
    whole, killed = quantized(new_run, model, words), quantized(new_run, model, words)
    assert whole.finish() == 0, whole.log.read_text()
    assert killed.kill_when(lambda: killed.at_step(4)) == -signal.SIGKILL
    assert killed.finish(resume=True) == 0, killed.log.read_text()
    assert killed.curve() == whole.curve()
    assert whole.events("reloaded")[0]["max_difference"] == 0.0
    with safe_open(whole.path / "adapter" / "adapter_model.safetensors", "pt") as saved:
        assert {saved.get_slice(name).get_dtype() for name in saved.keys()} == {"F32"}  # noqa: SIM118


def test_an_evaluation_before_training_does_not_stop_learning(new_run: NewRun, orders: Any) -> None:
    """The held-out loss falls, though 4-bit layers ran in evaluation first (bends/cpu_packing.py)."""
    run = quantized(new_run, orders()["model"], NF4, epochs=4.0)
    assert run.finish() == 0, run.log.read_text()
    before, after = run.events("eval")
    assert after["loss"] < before["loss"] - 0.1


def test_a_rehearsed_evaluation_repacks_nothing() -> None:
    """As in a run, on any processor: empty 4-bit layers are told not to."""
    order = recipes.orders(model={"quantization": NF4})
    model = empty_model(order["model"], read_config(order["model"]))
    layers = [module for module in model.modules() if is_quantized(module)]
    assert layers
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
