"""Receipts: what was measured of a point, written whole or not at all, and collected beside what was predicted.

A receipt has exactly one of `measured`, `failed` and `skipped`. Out of memory is a measurement: the counters as they
stood then, and `out_of_memory`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finefit.nouns.recording import Recording
from finefit.tape.peaks import phase_peaks

from .points import Point

Receipt = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
STORED = ROOT / "tests" / "receipts"
"""Those of GPUs; the processor's lie in a folder of their own."""


def receipt_of(point: Point, device: str, answer: Mapping[str, Any], **facts: Any) -> Receipt:
    """`answer` is the worker's, or `skipped` and why."""
    receipt = {"id": point.id, "device": device, "date": datetime.now(UTC).date().isoformat(), **facts}
    receipt["point"] = point.knobs
    for reason in ("failed", "skipped"):
        if reason in answer:
            return receipt | {reason: answer[reason]}
    found = dict(answer)
    stack = found.pop("stack")
    if "recording" in found:
        phases = phase_peaks(Recording.from_json(found.pop("recording")))
        found |= {"phases": phases, "allocated_bytes": phases["peak"]}
    else:
        found["allocated_bytes"] = max((n for name, n in found["phases"].items() if name != "load"), default=0)
    return receipt | {"measured": found, "stack": stack}


def write(folder: Path, receipt: Receipt) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".partial-{receipt['id']}"
    partial.write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
    partial.rename(folder / f"{receipt['id']}.json")


def read(folder: Path) -> dict[str, Receipt]:
    """By the point's id."""
    receipts = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {receipt["id"]: receipt for receipt in receipts}


def is_done(receipt: Receipt | None) -> bool:
    """What was skipped is looked at again: a library may have come."""
    return receipt is not None and "skipped" not in receipt


def store(receipts: Sequence[Receipt]) -> list[Path]:
    """One file for each card, torch version and day, one line for each point; a line is replaced by its newer one."""
    files: dict[Path, dict[str, Receipt]] = {}
    for receipt in receipts:
        files.setdefault(_file_of(receipt), {})[receipt["id"]] = receipt
    for path, rows in files.items():
        before = {row["id"]: row for row in lines(path)} if path.exists() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in (before | rows).values())
        path.write_text(text, encoding="utf-8")
    return list(files)


def stored(device: str) -> list[Receipt]:
    """Every collected receipt of GPUs (`cuda`) or of processors (`cpu`)."""
    folder = STORED if device == "cuda" else STORED / "cpu"
    return [row for path in sorted(folder.glob("*.jsonl")) for row in lines(path)]


def lines(path: Path) -> list[Receipt]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _file_of(receipt: Receipt) -> Path:
    stack = receipt["stack"]
    torch = stack["torch"].partition("+")[0]
    if receipt["device"] == "cpu":
        return STORED / "cpu" / f"torch-{torch}-{receipt['date']}.jsonl"
    return STORED / f"{_slug(stack['torch_gpu'])}-torch-{torch}-{receipt['date']}.jsonl"


def _slug(name: str) -> str:
    return "-".join(name.lower().removeprefix("nvidia ").split())
