"""The rows of published/speed.csv, computed: tokens per second of one GPU, beside the published ones.

Results are kept in published/results_speed.json, row by row. A recording is asked for once and cached; what a changed
formula says of it takes seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from percentiles import at_95

from finefit.estimate.pace.pace import pace_of, work_of
from finefit.nouns.method import name_of
from finefit.rehearsal.find import find
from finefit.rehearsal.recipe import Recipe
from finefit.rehearsal.timed import setup_of
from finefit.search.engine import of_one_rank
from published_kit.speed_rows import SpeedRow, expressible, ran, rows

RESULTS = Path(__file__).parent.parent / "published" / "results_speed.json"


@dataclass(frozen=True)
class SpeedResult:
    """Tokens per second of one GPU."""

    id: str
    gpu: str
    method: str
    predicted: float
    measured: float
    slowest: float
    fastest: float
    busy: float
    # seconds of a micro-batch's kernels over those that the processor takes to start them
    shares: dict[str, float]
    # seconds of a step, by what they go into

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted / self.measured - 1)

    @property
    def is_inside(self) -> bool:
        return self.slowest <= self.measured <= self.fastest


def read() -> dict[str, SpeedResult]:
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {name: SpeedResult(**found) for name, found in stored.items()}


def compute() -> None:
    """Every row that can be expressed and states tokens per second."""
    results: dict[str, SpeedResult] = {}
    of = [row for row in expressible() if row.tokens_per_second is not None]
    for number, row in enumerate(of, 1):
        results[row.id] = computed(row)
        print(f"{number}/{len(of)} {row.id}: {results[row.id].error_percent:+.0f} %", file=sys.stderr)
    kept = {name: asdict(one) for name, one in results.items()}
    RESULTS.write_text(json.dumps(_rounded(kept), indent=1) + "\n", encoding="utf-8")


def computed(row: SpeedRow) -> SpeedResult:
    told = ran(row)
    assert told.machine.gpu is not None
    assert row.tokens_per_second is not None
    alone, loop = of_one_rank(told.engine, told.knobs, told.loop)
    recipe = Recipe(told.model, told.method, alone, told.machine, loop)
    recording = find(recipe, lambda _: None).recording
    setup = setup_of(recipe, told.knobs.optim)
    work = work_of(recording, setup, told.model.layers)
    pace = pace_of(work, setup, told.engine)
    gpus = told.machine.count
    return SpeedResult(
        id=row.id,
        gpu=told.machine.gpu.name,
        method=name_of(told.method),
        predicted=pace.tokens_per_second / gpus,
        measured=row.tokens_per_second,
        slowest=pace.slowest / gpus,
        fastest=pace.fastest / gpus,
        busy=work.later.busy,
        shares={share.what: share.seconds for share in pace.shares},
    )


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return {key: _rounded(inner) for key, inner in value.items()} if isinstance(value, dict) else value


# The page

SOURCES = {
    "FITC": "fitcheck, T4: one cold step",
    "CANI": "can-i-finetune-this, RTX 4080, Windows: with the cold step",
    "FMSA": "fms-acceleration",
    "QWEN": "Qwen README",
    "FSQL": "fsdp_qlora",
    "LIGR": "Liger-Kernel: length not stated, computed at its limit",
    "LITG": "litgpt: length not stated, its median assumed",
    "MISC": "chenyaofo's gist: configuration not published",
}
HEAD = [
    "| source | GPU | method | recipe | rows | median | 95th percentile | worst |",
    "|---|---|---|---|---|---|---|---|",
]
WORDS = {"yes": "stock", "near": "near"}


def section() -> list[str]:
    results = read()
    known = [row for row in expressible() if row.id in results]
    left = [row for row in rows() if row.id not in results]
    return [
        "## Time",
        "",
        "Tokens per second of one GPU, computed from what a recording multiplies, moves and starts, against every",
        "published row that states a speed and can be expressed (`validation/published/speed.csv`; *stock*: the recipe",
        "is one that finefit rehearses; *near*: foreign kernels on the same mathematics, computed as a stock run, or",
        "something is left open). Errors are of tokens per second, their size without the sign.",
        "",
        "Four numbers say what kernels reach of a card's rates, for all models and methods alike",
        "(`src/finefit/estimate/pace`): 85 % of its best measured matrix product, 75 % of its memory's bandwidth, and",
        "the processor's microseconds for a kernel, forward and backward; they were set once, by hand, with these rows",
        "in sight. The T4's sustained rate under its power limit is the one figure of a card that was taken from its",
        "own rows. Everything else is derived.",
        "",
        *HEAD,
        *_summaries(
            known, results, lambda row: (SOURCES[row.id[:4]], results[row.id].gpu, results[row.id].method, row.fit)
        ),
        *_summaries(known, results, lambda row: ("all", "all", "all", row.fit)),
        "",
        f"{_inside(known, results)} of the stock rows lie in the interval that is printed with them.",
        "",
        *WHY,
        "",
        "| row | gpu | recipe | predicted | measured | error |",
        "|---|---|---|---|---|---|",
        *[_line(row, results[row.id]) for row in known],
        "",
        f"{len(left)} rows are not computed:",
        "",
        *_left(left),
    ]


WHY = [
    "Why the worst are as they are:",
    "",
    "- litgpt's steps have 110 tokens on a whole A100, so a script's own Python is nearly all of them.",
    "- The small models of fitcheck and can-i-finetune-this at 512 to 1,024 tokens: a first step, which loads kernels.",
    "- fsdp_qlora's two RTX 3090 sit on an old PCIe (its authors say so), and FSDP waits for it at every layer.",
    "- fms-acceleration's fused kernels are faster than the plain ones that are computed, by 6 to 15 %.",
    "- Liger's rows are padded to an unstated length, at most 512 tokens: what is computed is that limit.",
]


def _inside(known: Sequence[SpeedRow], results: dict[str, SpeedResult]) -> str:
    stock = [results[row.id] for row in known if row.fit == "yes"]
    return f"{sum(one.is_inside for one in stock)} of {len(stock)}"


def _what(result: SpeedResult) -> tuple[str, str]:
    return result.gpu, result.method


def _summaries(
    known: Sequence[SpeedRow], results: dict[str, SpeedResult], group: Callable[[SpeedRow], tuple[str, ...]]
) -> Iterator[str]:
    for name in dict.fromkeys(map(group, known)):
        errors = sorted(abs(results[row.id].error_percent) for row in known if group(row) == name)
        cells = (
            *name[:-1],
            WORDS[name[-1]],
            str(len(errors)),
            *(f"{one:.0f} %" for one in (median(errors), at_95(errors), errors[-1])),
        )
        yield f"| {' | '.join(cells)} |"


def _line(row: SpeedRow, result: SpeedResult) -> str:
    cells = row.cells
    rows_of = f"{cells['micro_batch']} × {row.tokens_per_row}"
    recipe = f"{cells['model']} {cells['method']} {rows_of}, {cells['engine'] or 'one GPU'}"
    speeds = f"{result.predicted:,.0f} | {result.measured:,.0f} | {result.error_percent:+.0f} %"
    return f"| {row.id} | {result.gpu} | {recipe} | {speeds} |"


def _left(left: Sequence[SpeedRow]) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in left:
        why = row.why_not if row.fit == "no" else "states no tokens per second"
        reasons.setdefault((row.id[:4], why), []).append(row.id)
    for (source, why), names in reasons.items():
        yield f"- {source}: {why} ({len(names)}): {', '.join(names)}"
