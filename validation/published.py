"""Holds estimates against published measurements of real GPUs, row by row, and writes docs/accuracy.md.

    python validation/published.py [--fresh]

Rows and recipes: published/single_gpu.csv and published/RECIPES.md; rows of several GPUs are published_kit's. Results
are kept in published/results.json, with the versions they were computed with; only rows without a result are computed
again, unless --fresh.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from percentiles import at_95
from published_kit.recipes import knobs_of, method_of

from finefit import api
from finefit.nouns.loop import Loop
from finefit.units import GIB

HERE = Path(__file__).parent / "published"
ROWS = HERE / "single_gpu.csv"
RESULTS = HERE / "results.json"
PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"


@dataclass(frozen=True)
class Result:
    """One row: predicted beside published, both allocated bytes."""

    id: str
    predicted_gib: float
    measured_gib: float
    reserved_gib: float
    measured_reserved_gib: float | None
    peak_phase: str
    seconds: float

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted_gib - self.measured_gib) / self.measured_gib

    @property
    def reserved_error_percent(self) -> float | None:
        measured = self.measured_reserved_gib
        return None if measured is None else 100 * (self.reserved_gib - measured) / measured


def main() -> None:
    os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
    rows = list(csv.DictReader(ROWS.open(encoding="utf-8")))
    stored = {} if "--fresh" in sys.argv or not RESULTS.exists() else json.loads(RESULTS.read_text())["rows"]
    results = {row["id"]: Result(**stored[row["id"]]) for row in rows if row["id"] in stored}
    stack: dict[str, str] = {} if not stored else json.loads(RESULTS.read_text())["stack"]
    for number, row in enumerate(rows, 1):
        if row["id"] in results or "gptq" in (row["why_not"] + row["note"]).lower() or "Mixtral" in row["model"]:
            continue
        results[row["id"]], stack = computed(row)
        result = results[row["id"]]
        print(f"{number}/{len(rows)} {row['id']} {row['model']}: {result.error_percent:+.2f} %", file=sys.stderr)
        kept = {"stack": stack, "rows": {name: asdict(one) for name, one in results.items()}}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    from published_kit import several

    several.compute(method_of, fresh="--fresh" in sys.argv)
    write_page()


def write_page() -> None:
    """Of what is stored."""
    rows = list(csv.DictReader(ROWS.open(encoding="utf-8")))
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    results = {name: Result(**result) for name, result in stored["rows"].items()}
    PAGE.write_text(page(rows, results, stored["stack"]), encoding="utf-8")


def computed(row: dict[str, str]) -> tuple[Result, dict[str, str]]:
    """The estimate of one row's recipe. Loops written by hand hold the model's output through backward."""
    estimate = api.estimate(
        row["model"],
        method=method_of(row),
        knobs=knobs_of(row),
        gpu=row["gpu"],
        loop=Loop(
            attention_kernel=row["attention_kernel"] if row["attn_implementation"] == "sdpa" else "auto",  # type: ignore[arg-type]
            hold_outputs=held(row),
            adapter_dtype=row["adapter_dtype"] or None,  # type: ignore[arg-type]
            kbit_preparation=row["kbit_prep"] == "yes",
        ),
    )
    measured = float(row["measured_allocated_gib"])
    ledger, reserved = estimate.ledger, row["measured_reserved_gib"]
    result = Result(
        id=row["id"],
        predicted_gib=ledger.peak_bytes / GIB,
        measured_gib=measured,
        reserved_gib=(ledger.reserved_bytes or 0) / GIB,
        measured_reserved_gib=float(reserved) if reserved else None,
        peak_phase=ledger.peak_phase,
        seconds=estimate.seconds,
    )
    return result, dict(estimate.stack)


def held(row: dict[str, str]) -> Literal["no", "step", "next"]:
    """How long the loop keeps the model's output."""
    if row["hold_outputs"] != "yes":
        return "no"
    return "next" if "next forward" in row["note"] else "step"


# The page


def page(rows: list[dict[str, str]], results: dict[str, Result], stack: dict[str, str]) -> str:
    sys.path.insert(0, str(Path(__file__).parent))  # also where this file is not the script that runs
    from kit.report import headline, section
    from published_kit import speeds
    from published_kit.report import section as section_of_several
    from ranks_kit.report import section as section_of_ranks

    exact = [row for row in rows if row["expressible"] == "yes"]
    other = [row for row in rows if row["expressible"] != "yes" and row["id"] in results]
    left = [row for row in rows if row["id"] not in results]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(stack.items()))
    return "\n".join(
        [
            "# How accurate the estimates are",
            "",
            "Made by `python validation/published.py`; do not edit. Predicted and measured are peaks of GPU memory:",
            "*allocated* is `torch.cuda.max_memory_allocated`, *reserved* `max_memory_reserved`. The measurements are",
            "other people's, published with their source; the recipes were read in their code",
            "(`validation/published/RECIPES.md`). Every single-GPU row of these sources is here; none was left out",
            "because it was bad. Nothing was fitted to them.",
            "",
            f"Computed with {versions}. The measured runs used other versions, named in the recipes.",
            "",
            headline(),
            "",
            *HEAD,
            *[line for name, part in groups(exact) for line in summary(name, part, results)],
            *summary("all that stock transformers and torch express", exact, results),
            "",
            "The worst rows and why: santacoder's 4-bit rows hold two copies of the logits more than their code",
            "explains, as if its output were held; ftune's figures have one decimal and no versions.",
            "",
            "## Runs of stock transformers and torch",
            "",
            *table(exact, results),
            "",
            "## Runs with foreign kernels",
            "",
            "These runs replaced parts of the model by fused kernels (loss, norms, rotary embedding, adapters), which",
            "stock transformers does not have, or cast weights as it does not. They are computed here as stock runs,",
            "so part of the difference is their own; where the optimizer step is the peak, kernels do not matter.",
            "Liger's fused loss is computed as TRL's fused head.",
            "",
            *HEAD,
            *[line for name, part in by_method(other) for line in summary(name, part, results)],
            "",
            *table(other, results),
            "",
            f"Not computed: {len(left)} rows whose weights are not bitsandbytes' (GPTQ) or whose model is not in the",
            "catalogue (Mixtral, whose experts bitsandbytes leaves alone in transformers 5):",
            f"{', '.join(row['id'] for row in left)}.",
            "",
            *section(),
            "",
            *section_of_several(),
            *speeds.section(),
            "",
            *section_of_ranks(),
            "",
        ]
    )


HEAD = [
    "| rows | memory | count | median | 95th percentile | worst |",
    "|---|---|---|---|---|---|",
]


def by_method(rows: list[dict[str, str]]) -> list[tuple[str, list[dict[str, str]]]]:
    return [(name, [row for row in rows if row["method"] == name]) for name in ("full", "lora", "qlora4")]


def groups(rows: list[dict[str, str]]) -> list[tuple[str, list[dict[str, str]]]]:
    """By source and method."""
    keys = sorted({(row["id"].split("-")[0], row["method"]) for row in rows})
    return [
        (f"{NAMES[source]}, {method}", [r for r in rows if r["id"].startswith(source) and r["method"] == method])
        for source, method in keys
    ]


NAMES = {"CANI": "can-i-finetune-this", "FITC": "fitcheck", "FMSA": "fms-acceleration", "FTUNE": "ftune"}


def summary(name: str, rows: list[dict[str, str]], results: dict[str, Result]) -> list[str]:
    found = [results[row["id"]] for row in rows]
    allocated = [abs(result.error_percent) for result in found]
    reserved = [abs(error) for result in found if (error := result.reserved_error_percent) is not None]
    return [
        f"| {name} | {kind} | {len(errors)} | {median(errors):.2f} % | {at_95(errors):.2f} % | {max(errors):.2f} % |"
        for kind, errors in (("allocated", allocated), ("reserved", reserved))
        if errors
    ]


def table(rows: list[dict[str, str]], results: dict[str, Result]) -> list[str]:
    lines = [
        "| row | model | method | batch × length | attention | GPU | measured GiB | predicted GiB | error | peak in "
        "| reserved: measured | predicted | error |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        result = results[row["id"]]
        reserved, error = result.measured_reserved_gib, result.reserved_error_percent
        rank = "" if row["method"] == "full" else f" r{int(float(row['lora_r']))}"
        lines.append(
            f"| {row['id']} | {row['model'].split('/')[-1]} | {row['method']}{rank}"
            f" | {row['micro_batch']} × {row['max_length']} | {row['attention_kernel']} | {row['gpu']}"
            f" | {result.measured_gib:.3f} | {result.predicted_gib:.3f} | {result.error_percent:+.2f} %"
            f" | {result.peak_phase} | {'' if reserved is None else f'{reserved:.3f}'} | {result.reserved_gib:.3f}"
            f" | {'' if error is None else f'{error:+.2f} %'} |"
        )
    return lines


if __name__ == "__main__":
    main()
