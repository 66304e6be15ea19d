"""The command line over a small double of the verbs, which notes what it was asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import finefit
from finefit.api import (
    answer_of,
    data,
    images_of,
    launch,
    method_of,
    plan_files,
    write_files,
    write_guide,
    writer_of,
)
from finefit.cli.main import run
from finefit.errors import BadInput, Problem, RunFailed
from finefit.guide.blocks import Document, Heading
from finefit.nouns.data_report import DataReport
from finefit.nouns.estimate import Estimate
from finefit.nouns.exported import Apart, Exported
from finefit.nouns.files import Files
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.planned import Planned
from finefit.nouns.range import Range
from finefit.nouns.receipt import PhaseGap, Receipt
from finefit.nouns.sampling import Answer, AnsweredFile, Sampling
from finefit.nouns.task import Generate
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job

RECEIPT = Receipt(
    run="job-1",
    model="gpt2",
    method="lora",
    machine="cpu",
    phases=(PhaseGap("load", 1, 1),),
    peak=PhaseGap("peak", 2, 2),
    measured_by="recorder",
    rss_peak_bytes=3,
    device_peak_bytes=None,
    train_loss_first=2.0,
    train_loss_last=1.0,
    eval_loss_before=None,
    eval_loss_after=None,
    steps=4,
    train_seconds=5.0,
    tokens_per_second=6.0,
    stack={},
    seed=42,
    hashes={},
)


EXPORTED = Exported("out", "float32", 1024, 1, 14, 0, 2048, 1024, 2, Apart(1e-6, 1e-7), 1e-4)


class Talker:
    """Says in capitals what it is told, and after it how much it remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str, on_text: Callable[[str], None]) -> Answer:
        if text == "bad":
            raise BadInput(Problem("cannot be answered"))
        self.told.append(text)
        answer = f"{text.upper()} {len(self.told)}"
        on_text(answer)
        return Answer(answer, 2)

    def attach(self, path: str) -> tuple[int, int]:
        if path == "gone.png":
            raise BadInput(Problem("cannot be read"))
        self.told.append(path)
        return 4, 3

    def stop(self) -> None:
        """Nothing is being said."""

    def reset(self) -> None:
        self.told = []


class Api(ModuleType):
    """Verbs that check their input for real and compute nothing."""

    REFERENCE_GPU = "A100-80GB"

    def __init__(self) -> None:
        super().__init__("finefit.api")
        self.asked: dict[str, Any] = {}
        self.peak_bytes = 1
        self.device_bytes = (1, 2, 3)
        self.failure: BaseException | None = None
        self.document = Document("t", (Heading("h"),))
        self.write_guide, self.writer_of = write_guide, writer_of

    def method_of(self, job: Job) -> Method:
        return method_of(job)

    def images_of(self, job: Job) -> Images | None:
        return images_of(job)

    def estimate(self, model: str, **how: Any) -> Estimate:
        self._note(model=model, **how)
        machine = machine_named(self.REFERENCE_GPU if how["gpu"] == "auto" else how["gpu"])
        how["progress"]("rehearsing")
        device = None if machine.is_cpu else Range(*self.device_bytes)
        ledger = Ledger(self.peak_bytes, "backward", {"backward": self.peak_bytes}, (), 10, 1, device=device)
        return Estimate(
            Model(model, {}), how["method"], how["knobs"], machine, ledger, "rehearsal", {"torch": "2"}, (), 0.1
        )

    def estimate_rows(self, job: Job, **how: Any) -> Estimate:
        return self.estimate(job.model, method=method_of(job), rows=job.data, **how)

    def plan(self, job: Job, **how: Any) -> Planned:
        self._note(job=job, **how)
        machine, knobs = machine_named(job.gpu), Knobs(512, job.global_batch_size)
        ledger = Ledger(self.peak_bytes, "backward", {}, (), 10, 1, device=Range(*self.device_bytes))
        choice = Estimate(Model(job.model, {}), method_of(job), knobs, machine, ledger, "atlas", {}, (), 0.1)
        fits = self.device_bytes[2] <= 10
        return Planned(machine, choice if fits else None, None if fits else choice, (), (), 1, 1, 0.1)

    def plan_files(self, job: Job, choice: Estimate) -> Files:
        return plan_files(job, choice)

    def write_files(self, folder: Path, files: Files) -> dict[str, Path]:
        return write_files(folder, files)

    def launch(self, job_file: Path, to: str, nodes: int) -> tuple[Path, str]:
        return launch(job_file, to, nodes)

    def answer_of(self, job: Job) -> Generate:
        return answer_of(job)

    def estimate_answer(self, model: str, *, task: Generate, **how: Any) -> Estimate:
        found = self.estimate(model, **how)
        self.asked["task"] = task
        return replace(found, task=task)

    def data(self, path: str, **how: Any) -> DataReport:
        """Without a model it computes little."""
        self._note(path=path, **how)
        return data(path, **{**how, "model": None})

    def guide(self, job: Job, **how: Any) -> Document:
        self._note(job=job, **how)
        return self.document

    def train(
        self, job_or_run: str, overrides: dict[str, str], resume: bool, observer: Any, *, is_foreign: bool = False
    ) -> Receipt:
        self._note(job_or_run=job_or_run, overrides=overrides, resume=resume)
        if not resume:
            for note in read_job(job_or_run or None, overrides, is_foreign=is_foreign).notes:
                observer.note(note)
        observer.stage("training")
        return RECEIPT

    def read_receipt(self, run: str) -> Receipt:
        self._note(run=run)
        return replace(RECEIPT, run=run)

    def generate(
        self, target: str, prompts: list[str], sampling: Sampling, base: bool, images: Sequence[str] = ()
    ) -> list[str]:
        self._note(
            target=target, prompts=prompts, sampling=sampling, base=base, **({"images": images} if images else {})
        )
        return [prompt.upper() for prompt in prompts]

    def compare(
        self, target: str, prompts: list[str], sampling: Sampling, images: Sequence[str] = ()
    ) -> tuple[list[str], list[str]]:
        return prompts, self.generate(target, prompts, sampling, False, images)

    def generate_file(self, target: str, path: Path, output: Path, sampling: Sampling, **how: Any) -> AnsweredFile:
        how.pop("say")("answering")
        self._note(target=target, path=path, output=output, sampling=sampling, **how)
        return AnsweredFile(str(output), 2, 30, 1.5)

    @contextmanager
    def chat(self, target: str, base: bool, sampling: Sampling) -> Iterator[Talker]:
        self._note(target=target, base=base, sampling=sampling)
        yield Talker()

    def export(self, run: str, folder: Path | None, dtype: str | None, **how: Any) -> Exported:
        how.pop("say")("merging")
        self._note(run=run, folder=folder, dtype=dtype, **how)
        return EXPORTED

    def _note(self, **asked: Any) -> None:
        self.asked = asked
        if self.failure is not None:
            raise self.failure


@dataclass
class Said:
    code: int
    out: str
    err: str


@dataclass
class Cli:
    """`cli("estimate", "gpt2")` runs `finefit estimate gpt2` in an empty folder."""

    api: Api
    read: Callable[[], Any]
    folder: Path
    failed: RunFailed = field(default_factory=lambda: RunFailed("the worker died", "worker.log"))

    def __call__(self, *words: str) -> Said:
        code = run(words)
        out, err = self.read()
        assert "Traceback" not in err
        return Said(code, out, err)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    api = Api()
    monkeypatch.setitem(sys.modules, "finefit.api", api)
    monkeypatch.setattr(finefit, "api", api, raising=False)
    monkeypatch.delenv("FINEFIT_DEBUG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    return Cli(api, capsys.readouterr, tmp_path)
