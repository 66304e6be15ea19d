"""What was predicted of every point before it was measured: predicted.json, for one card.

Another card's allocated bytes differ by the kernels and workspaces of its compute capability alone; `collect` computes
them anew. Here they serve to order points, and to leave out what cannot fit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PREDICTED = Path(__file__).parent / "predicted.json"
REFERENCE_GPU = "H200 SXM 141GB"


def read() -> dict[str, dict[str, Any]]:
    """By the point's id."""
    return dict(_kept()["rows"])


def keep(rows: dict[str, dict[str, Any]], stack: dict[str, str]) -> None:
    """One line for each point."""
    body = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    head = f'{{"gpu": {json.dumps(REFERENCE_GPU)},\n"stack": {json.dumps(stack)},\n"rows": {{\n'
    PREDICTED.write_text(head + body + "\n}}\n", encoding="utf-8")


def stack() -> dict[str, str]:
    return dict(_kept()["stack"])


def _kept() -> dict[str, Any]:
    if not PREDICTED.exists():
        return {"rows": {}, "stack": {}}
    kept: dict[str, Any] = json.loads(PREDICTED.read_text(encoding="utf-8"))
    return kept
