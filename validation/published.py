"""Holds estimates against published measurements of real GPUs, row by row, and writes docs/accuracy.md.

    python validation/published.py [--fresh]

Rows and recipes: published/single_gpu.csv and published/RECIPES.md. Results are kept in published/results.json, with
the versions they were computed with; only rows without a result are computed again, unless --fresh.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from finefit import api
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Full, LoRA, Method
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
    peak_phase: str
    seconds: float

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted_gib - self.measured_gib) / self.measured_gib


def main() -> None:
    rows = list(csv.DictReader(ROWS.open(encoding="utf-8")))
    stored = {} if "--fresh" in sys.argv or not RESULTS.exists() else json.loads(RESULTS.read_text())["rows"]
    results = {row["id"]: Result(**stored[row["id"]]) for row in rows if row["id"] in stored}
    stack: dict[str, str] = {} if not stored else json.loads(RESULTS.read_text())["stack"]
    for number, row in enumerate(rows, 1):
        if row["id"] in results:
            continue
        results[row["id"]], stack = computed(row)
        result = results[row["id"]]
        print(f"{number}/{len(rows)} {row['id']} {row['model']}: {result.error_percent:+.2f} %", file=sys.stderr)
        kept = {"stack": stack, "rows": {name: asdict(one) for name, one in results.items()}}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(rows, results, stack), encoding="utf-8")


def computed(row: dict[str, str]) -> tuple[Result, dict[str, str]]:
    """The estimate of one row's recipe. Loops written by hand hold the model's output through backward."""
    estimate = api.estimate(
        row["model"],
        method=method_of(row),
        knobs=Knobs(
            max_length=int(row["max_length"]),
            per_device_train_batch_size=int(row["micro_batch"]),
            gradient_checkpointing="all" if row["gradient_checkpointing"] == "true" else 0,
            dtype=row["dtype"],  # type: ignore[arg-type]
            mixed_precision=row["mixed_precision"],  # type: ignore[arg-type]
            optim=row["optim"],
            attn_implementation=row["attn_implementation"],  # type: ignore[arg-type]
            loss="fused" if row["loss"] == "fused:liger_flce" else "full",
        ),
        gpu=row["gpu"],
        loop=Loop(
            attention_kernel=row["attention_kernel"] if row["attn_implementation"] == "sdpa" else "auto",  # type: ignore[arg-type]
            hold_outputs=row["hold_outputs"] == "yes",
            adapter_dtype=row["adapter_dtype"] or None,  # type: ignore[arg-type]
        ),
    )
    measured = float(row["measured_allocated_gib"])
    result = Result(row["id"], estimate.ledger.peak_bytes / GIB, measured, estimate.ledger.peak_phase, estimate.seconds)
    return result, dict(estimate.stack)


def method_of(row: dict[str, str]) -> Method:
    if row["method"] == "full":
        return Full()
    targets = tuple(row["lora_target_modules"].split())
    return LoRA(int(float(row["lora_r"])), int(float(row["lora_alpha"])), float(row["lora_dropout"]), targets)


# The page


def page(rows: list[dict[str, str]], results: dict[str, Result], stack: dict[str, str]) -> str:
    exact = [row for row in rows if row["expressible"] == "yes"]
    other = [row for row in rows if row["expressible"] != "yes"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(stack.items()))
    return "\n".join(
        [
            "# How accurate the estimates are",
            "",
            "Made by `python validation/published.py`; do not edit. Predicted and measured are peaks of *allocated*",
            "GPU memory (`torch.cuda.max_memory_allocated`). The measurements are other people's, published with",
            "their source; the recipes were read in their code (`validation/published/RECIPES.md`). Every single-GPU",
            "full and LoRA row of three sources is here; none was left out. Nothing was fitted to them.",
            "",
            f"Computed with {versions}. The measured runs used other versions, named in the recipes.",
            "",
            "No GPU measurement of our own is in this page yet.",
            "",
            "| rows | count | median | 95th percentile | worst |",
            "|---|---|---|---|---|",
            *[summary(name, part, results) for name, part in groups(exact)],
            summary("all that stock transformers and torch express", exact, results),
            "",
            "## Runs of stock transformers and torch",
            "",
            *table(exact, results),
            "",
            "## Runs with foreign kernels",
            "",
            "These runs replaced parts of the model by fused kernels (loss, norms, rotary embedding), which stock",
            "transformers does not have. They are computed here as stock runs, so part of the difference is the",
            "kernels' own; where the optimizer step is the peak, kernels do not matter. Liger's fused loss is",
            "computed as TRL's fused head.",
            "",
            "| rows | count | median | 95th percentile | worst |",
            "|---|---|---|---|---|",
            summary("full fine-tuning", [row for row in other if row["method"] == "full"], results),
            summary("LoRA", [row for row in other if row["method"] == "lora"], results),
            "",
            *table(other, results),
            "",
        ]
    )


def groups(rows: list[dict[str, str]]) -> list[tuple[str, list[dict[str, str]]]]:
    names = sorted({row["source"].split(":")[0].split("@")[0] for row in rows})
    return [(name, [row for row in rows if row["source"].startswith(name)]) for name in names]


def summary(name: str, rows: list[dict[str, str]], results: dict[str, Result]) -> str:
    errors = sorted(abs(results[row["id"]].error_percent) for row in rows)
    if not errors:
        return f"| {name} | 0 | | | |"
    high = errors[min(len(errors) - 1, round(0.95 * (len(errors) - 1)))]
    return f"| {name} | {len(errors)} | {median(errors):.2f} % | {high:.2f} % | {errors[-1]:.2f} % |"


def table(rows: list[dict[str, str]], results: dict[str, Result]) -> list[str]:
    lines = [
        "| row | model | method | batch × length | attention | GPU | measured GiB | predicted GiB | error | peak in |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        result = results[row["id"]]
        method = "full" if row["method"] == "full" else f"LoRA r{int(float(row['lora_r']))}"
        lines.append(
            f"| {row['id']} | {row['model'].split('/')[-1]} | {method} | {row['micro_batch']} × {row['max_length']}"
            f" | {row['attention_kernel']} | {row['gpu']} | {result.measured_gib:.3f} | {result.predicted_gib:.3f}"
            f" | {result.error_percent:+.2f} % | {result.peak_phase} |"
        )
    return lines


if __name__ == "__main__":
    main()
