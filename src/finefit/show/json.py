"""Nouns as JSON: plain dicts with finite numbers, on stdout alone."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, assert_never

from finefit.nouns.engine import words_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.host import Host, Need
from finefit.nouns.images import Images
from finefit.nouns.method import Full, LoRA, Method, QLoRA, name_of
from finefit.nouns.range import Range
from finefit.nouns.task import Generate
from finefit.nouns.task import name_of as name_of_task

from . import generation, pace, preferences
from .words import gap_percent, notes_of

if TYPE_CHECKING:
    from finefit.nouns.receipt import PhaseGap, Receipt


def write(data: Mapping[str, Any]) -> None:
    """The one object of a command."""
    sys.stdout.write(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Dicts, lists, text and finite numbers: what is not a number becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(inner) for key, inner in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def of_estimate(estimate: Estimate) -> dict[str, Any]:
    ledger = estimate.ledger
    return {
        "model": {
            "id": estimate.model.id,
            "parameters": ledger.parameters,
            "trainable_parameters": ledger.trainable_parameters,
        },
        "recipe": _recipe(estimate),
        "memory": {
            "allocated_bytes": ledger.peak_bytes,
            **_range(ledger.reserved, "reserved_bytes", "reserved_low_bytes", "reserved_high_bytes"),
            **_range(ledger.device, "device_bytes", "low_bytes", "high_bytes"),
            "smallest_bytes": ledger.smallest_bytes,
            "uncertainty": [] if ledger.device is None else [vars(reason) for reason in ledger.device.reasons],
            "peak_phase": ledger.peak_phase,
            "phases": ledger.phases,
            "moments": ledger.moments,
            "lines": [
                {"what": line.what, "bytes": line.nbytes, "phase": line.phase, "why": line.why} for line in ledger.lines
            ],
        },
        "host": _host(estimate.host),
        "speed": pace.speed(estimate.pace),
        "verdict": estimate.verdict,
        "gpu": {"name": estimate.machine.name, "count": estimate.machine.count, "memory_bytes": _memory(estimate)},
        "data": None if estimate.data is None else vars(estimate.data),
        "engine": None if estimate.engine is None else {"name": words_of(estimate.engine), **vars(estimate.engine)},
        "stack": estimate.stack,
        "source": estimate.source,
        "seconds": estimate.seconds,
        "notes": notes_of(estimate),
    }


def _host(host: Host | None) -> dict[str, Any]:
    if host is None:
        return {"ram_bytes": None, "disk_bytes": None, "ram": [], "disk": []}
    return {
        "ram_bytes": host.ram_bytes,
        "disk_bytes": host.disk_bytes,
        "ram": [_need(need) for need in host.ram],
        "disk": [_need(need) for need in host.disk],
    }


def _need(need: Need) -> dict[str, Any]:
    return {"what": need.what, "when": need.when, "bytes": need.nbytes, "basis": need.basis, "why": need.why}


def _range(known: Range | None, typical: str, low: str, high: str) -> dict[str, int | None]:
    if known is None:
        return {typical: None, low: None, high: None}
    return {typical: known.typical, low: known.low, high: known.high}


def _recipe(estimate: Estimate) -> dict[str, Any]:
    method = {
        "task": name_of_task(estimate.task),
        "method": name_of(estimate.method),
        **_knobs_of(estimate.method),
    }
    if isinstance(estimate.task, Generate):
        return {**method, **generation.recipe(estimate, estimate.task)}
    return {**method, **asdict(estimate.knobs), **_images(estimate.images), **preferences.recipe(estimate.task)}


def _images(images: Images | None) -> dict[str, Any]:
    if images is None:
        return {"image_size": None, "images": 0}
    return {"image_size": f"{images.width}x{images.height}", "images": images.count}


def _knobs_of(method: Method) -> dict[str, Any]:
    match method:
        case Full():
            return {}
        case LoRA():
            return _adapter(method)
        case QLoRA():
            quantized = {"bnb_4bit_quant_type": method.quant_type, "bnb_4bit_use_double_quant": method.double_quant}
            return _adapter(method) | (quantized if method.bits == 4 else {})
        case _:
            assert_never(method)


def _adapter(method: LoRA | QLoRA) -> dict[str, Any]:
    named = {f"lora_{key}": getattr(method, key) for key in ("r", "alpha", "dropout", "target_modules")}
    return named | {"use_dora": method.use_dora, "use_rslora": method.use_rslora}


def _memory(estimate: Estimate) -> int | None:
    gpu = estimate.machine.gpu
    return None if gpu is None else gpu.vram_bytes


def of_receipt(receipt: Receipt) -> dict[str, Any]:
    data: dict[str, Any] = dict(vars(receipt))
    data["phases"] = [_of_gap(gap) for gap in receipt.phases]
    data["held"] = [_of_gap(gap) for gap in receipt.held]
    data["peak"] = None if receipt.peak is None else _of_gap(receipt.peak)
    for what in ("reserved", "device", "step"):
        gap = data[what]
        data[what] = None if gap is None else {**vars(gap), "is_inside": gap.is_inside}
    return data


def _of_gap(gap: PhaseGap) -> dict[str, Any]:
    return {**vars(gap), "gap_percent": gap_percent(gap)}
