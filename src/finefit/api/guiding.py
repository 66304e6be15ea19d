"""`guide`: a whole hardware-requirements document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from finefit import whole
from finefit.errors import BadInput, NotKnown, Problem, RunFailed
from finefit.guide.blocks import Document
from finefit.guide.document import document
from finefit.guide.html import html
from finefit.guide.markdown import markdown
from finefit.guide.subject import USUAL_ROWS, Missing, Subject
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.knobs import USUAL_LENGTH
from finefit.nouns.matrix import Row
from finefit.nouns.offer import Offer
from finefit.nouns.planned import Planned
from finefit.search.choice import choose, usual_length
from finefit.search.generation import knobs_to_write
from finefit.search.preferences import task_of
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

from .asked import answer_of, images_of, method_of
from .estimating import estimate
from .estimating_answers import estimate_answer
from .fetching import rows_here
from .planning import plan
from .pricing import prices
from .tabling import matrix

USUAL_GPUS = ("T4", "RTX3060-12GB", "RTX4060Ti-16GB", "RTX4090", "RTX5090", "L40S", "A100-80GB", "H100-80GB")
"""Where none is asked about: from free and small to large."""
WRITERS = {".md": markdown, ".html": html}


def guide(
    job: Job,
    *,
    gpus: Sequence[str] = (),
    rows: int | None = None,
    is_quick: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Document:
    """Raises `BadInput`."""
    say = progress or (lambda _: None)
    named = tuple(gpus) or ((job.gpu,) if job.gpu not in ("auto", "cpu") else USUAL_GPUS)
    _refuse(job, named)
    job = rows_here(job, say).pinned  # asked of a hub once
    model = find_model(job.model, job.trust_remote_code)
    subject = Subject(
        job=replace(job, max_length=job.max_length or usual_length(model), task="sft", packing=False),
        model=model,
        gpus=named,
        asks=Verbs(say, rehearses=not is_quick),
        rows=rows or USUAL_ROWS,
        rows_are_given=rows is not None,
        is_quick=is_quick,
    )
    return document(subject, say)


def write_guide(document: Document, path: Path | str) -> None:
    """As its name says: .md or .html."""
    writer_of(path)
    whole.write(Path(path), writer_of(path)(document))


def writer_of(path: Path | str) -> Callable[[Document], str]:
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise BadInput(Problem(f"'{path}' is neither Markdown nor HTML", where="--output", hint="FILE.md or FILE.html"))
    return WRITERS[suffix]


def _refuse(job: Job, gpus: Sequence[str]) -> None:
    problems = []
    for name in gpus:
        try:
            if machine_named(name).gpu is None:
                problems.append(Problem(f"'{name}' is no GPU here", "gpu", hint="names like RTX4090,2xA100-80GB"))
        except BadInput as error:
            problems += [replace(problem, where="gpu") for problem in error.problems]
    if job.task == "generate":
        problems.append(Problem("a guide is about training", "task", hint="leave it out: inference has its section"))
    if problems:
        raise BadInput(*problems)


@dataclass
class Verbs:
    """The answers of `estimate`, `plan` and `prices`, or why there is none."""

    say: Callable[[str], None]
    rehearses: bool

    def estimate(self, job: Job, *, rehearses: bool | None = None) -> Estimate | Missing:
        try:
            return self._estimate(job, self.rehearses if rehearses is None else rehearses)
        except NotKnown:
            return Missing("no tape knows it, and `--quick` does without rehearsals")
        except (BadInput, RunFailed) as error:
            if rehearses:
                raise
            return Missing(_first(error))

    def _estimate(self, job: Job, rehearses: bool) -> Estimate:
        machine = machine_named(job.gpu)
        if job.task == "generate":
            return estimate_answer(
                job.model,
                method=method_of(job),
                task=answer_of(job),
                knobs=knobs_to_write(job, job.max_length or USUAL_LENGTH, machine),
                gpu=job.gpu,
                trust_remote_code=job.trust_remote_code,
                progress=self.say,
                rehearses=rehearses,
            )
        return estimate(
            job.model,
            method=method_of(job),
            knobs=choose(job, machine),
            gpu=job.gpu,
            trust_remote_code=job.trust_remote_code,
            images=images_of(job),
            task=task_of(job),
            progress=self.say,
            probes=False,
            rehearses=rehearses,
        )

    def plan(self, job: Job, methods: tuple[MethodName, ...], *, builds: bool) -> Planned | Missing:
        try:
            return plan(job, methods=methods, progress=self.say, builds=builds)
        except (BadInput, RunFailed) as error:
            return Missing(_first(error))

    def offers(self, gpu: str) -> tuple[Offer, ...]:
        return prices(gpu).offers

    def matrix(self, job: Job, counts: tuple[int, ...], methods: tuple[MethodName, ...], rows: int) -> tuple[Row, ...]:
        epochs = job.num_train_epochs if job.max_steps < 1 else 1.0
        return matrix(job, counts=counts, methods=methods, rows=rows, epochs=epochs, progress=self.say).rows


def _first(error: BadInput | RunFailed) -> str:
    if isinstance(error, BadInput):
        problem = error.problems[0]
        return problem.what + (f" ({problem.why})" if problem.why else "")
    return str(error).splitlines()[0]
