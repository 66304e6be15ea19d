"""The section of docs/accuracy.md on published runs of several GPUs, made of what is stored alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from percentiles import at_95

from .several import Result, Row, read, rows

SOURCES = {
    "MISC": "chenyaofo's gist, LLaMA-7B",
    "FMSA": "fms-acceleration",
    "SWFT": "ms-swift examples",
    "LIGR": "Liger-Kernel examples",
    "FSQL": "fsdp_qlora",
    "LITG": "litgpt",
    "TITN": "torchtitan",
    "TAO_": "torchao",
    "TUNE": "torchtune",
    "AXOL": "axolotl",
    "PEFT": "PEFT's FSDP page",
    "PRIM": "prime-rl",
}
ENGINES = {"zero2": "ZeRO 2", "zero3": "ZeRO 3", "fsdp1": "FSDP1", "fsdp2": "FSDP2"}
WHY = [
    "Why the worst are as they are (`validation/published/RECIPES.md` has the bytes and the sources):",
    "",
    "- fms-acceleration with the plugin's cross entropy (`unsloth_ce`), where the loss is the peak (Llama-3, PowerLM):",
    "  it writes the gradient into the logits and has no float32 log-softmax. Computed is transformers' own loss.",
    "- santacoder (FMSA-0002 to 0008, 0070, 0072): its loss stayed in bfloat16 then, and is computed in float32; its",
    "  4-bit rows hold copies of the logits that their code does not explain, as they do on one GPU.",
    "- The gist (MISC): neither its code nor its configuration is published. Its ZeRO 2 rows are of a time without",
    "  moments, since with them 21.96 GiB would be resident and 19.4 are published. What grows by 2.6 GiB a sequence",
    "  (MISC-0021), what a second micro-batch adds under ZeRO 3 (MISC-0028), and which buckets and limits its offload",
    "  rows had (MISC-0020, 0025), is not known.",
    "- fsdp_qlora: a training script of its own, and reserved bytes alone; 512 and 2,048 tokens take as much there.",
]
HEAD = ["| source | engine | recipe | rows | median | 95th percentile | worst |", "|---|---|---|---|---|---|---|"]
RECIPES = {"yes": "stock", "near": "near"}


def section() -> list[str]:
    of, results = rows(), read()
    known = [row for row in of if row["id"] in results]
    return [
        "## Published runs of several GPUs",
        "",
        "One rank's step under the row's engine, against what others published of theirs",
        "(`validation/published/multi_gpu.csv`). FSDP1 is composed for these rows alone. *Stock*: the recipe is one",
        "that finefit rehearses; *near*: it ran foreign kernels or leaves something open, and is computed as a stock",
        "run. Allocated bytes but for fsdp_qlora (reserved) and ms-swift (authors' comments, rounded, of an unknown",
        "kind, held against reserved). Nothing was fitted to them, and no row is left out because it is bad.",
        "",
        *HEAD,
        *_summaries(known, results, lambda row: (SOURCES[row["id"][:4]], ENGINES[row["engine"]], row["expressible"])),
        *_summaries(known, results, lambda row: ("all", "all", row["expressible"])),
        *_summaries(known, results, lambda row: ("all", "all", "both")),
        "",
        *WHY,
        "",
        *table(known, results),
        "",
        "Not expressed, of the same sources and of others that publish several GPUs:",
        "",
        *_left_out([row for row in of if row["id"] not in results]),
    ]


def _summaries(
    of: Sequence[Row], results: dict[str, Result], key: Callable[[Row], tuple[str, str, str]]
) -> Iterator[str]:
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in of:
        groups[key(row)].append(abs(results[row["id"]].error_percent))
    for (source, engine, recipe), errors in groups.items():
        ordered = sorted(errors)
        yield (
            f"| {source} | {engine} | {RECIPES.get(recipe, recipe)} | {len(errors)} | {median(errors):.2f} %"
            f" | {at_95(ordered):.2f} % | {ordered[-1]:.2f} % |"
        )


def table(of: Sequence[Row], results: dict[str, Result]) -> Iterator[str]:
    yield "| row | model | method | batch × length | loss | engine | GPUs | measured GiB | predicted | error | peak |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in of:
        found, model = results[row["id"]], row["model"].split("/")[-1]
        away = "" if row["offload"] == "none" else f", offload {row['offload']}"
        yield (
            f"| {row['id']} | {model} | {row['method']} | {row['micro_batch']} × {row['max_length']}"
            f" | {row['loss'].removeprefix('fused:')} | {ENGINES[row['engine']]}{away} | {row['gpus']} × {row['gpu']}"
            f" | {found.measured_gib:.3f} | {found.predicted_gib:.3f} | {found.error_percent:+.2f} %"
            f" | {found.peak_phase} |"
        )


def _left_out(of: Sequence[Row]) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in of:
        reasons[SOURCES[row["id"][:4]], row["why_not"] or "not computed yet"].append(row["id"])
    for (source, why), names in reasons.items():
        yield f"- {source}: {why} ({len(names)}): {', '.join(names)}"
