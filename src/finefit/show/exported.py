"""What an export did, for people and for programs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from finefit.nouns.exported import Apart, Exported
from finefit.units import human_bytes

from .terminal import console_on


def to_json(exported: Exported) -> dict[str, Any]:
    return asdict(exported)


def show(exported: Exported) -> None:
    console = console_on(sys.stdout)
    for line in lines_of(exported):
        console.print(line)


def lines_of(exported: Exported) -> list[str]:
    files = "one file" if exported.files == 1 else f"{exported.files} files"
    lines = [f"{exported.folder}: {human_bytes(exported.nbytes)} of {exported.dtype} in {files}"]
    if exported.merged:
        lines.append(f"{exported.merged} weights have the adapter in them{_onto(exported)}")
    lines.append(
        f"while merging, the process grew by {human_bytes(exported.grown_bytes)}; "
        f"the largest file has {human_bytes(exported.largest_file_bytes)}"
    )
    whom = "the trained model" if exported.from_trained is None else "the adapter beside the weights it is merged onto"
    lines.append(f"read back and compared with {whom}, on {_rows(exported)}: {_apart(exported.difference)}")
    lines.append(f"allowed: {exported.tolerance:.3g}, {_why(exported)}")
    if exported.from_trained is not None:
        lines.append(f"from the trained model, which multiplied otherwise: {_apart(exported.from_trained)}")
    if exported.gguf:
        lines.append(f"{exported.gguf}: by llama.cpp's converter, not compared")
    if exported.pushed:
        lines.append(f"pushed: {exported.pushed}")
    return lines


def _onto(exported: Exported) -> str:
    if exported.dequantized:
        return f"; {exported.dequantized} are the quantised ones, dequantised: what was trained saw these"
    return ""


def _rows(exported: Exported) -> str:
    return f"{exported.rows} real rows" if exported.rows else "a greeting, since the run's rows are gone"


def _apart(apart: Apart) -> str:
    return f"logits at most {apart.max_difference:.3g} apart, {apart.mean_difference:.3g} in the mean"


def _why(exported: Exported) -> str:
    if exported.dtype == "float32":
        return "a ten thousandth of the largest logit: sums in another order"
    return f"a share of the largest logit: weights are rounded to {exported.dtype}"
