"""The files of a job: rows to train on, and rows held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job
from finefit.world.rows import TEXT_ALONE, check_rows, said_of
from finefit.world.rows import Rows as Lines


@dataclass(frozen=True)
class Files:
    """Of a job, checked row by row."""

    train: Lines
    held_out: Lines | None

    @property
    def show(self) -> bool:
        """Whether any row has an image."""
        return bool(self.train.shown or (self.held_out and self.held_out.shown))

    @property
    def left_out(self) -> dict[str, list[int]]:
        """The numbers of bad rows."""
        both = {"train": self.train, "eval": self.held_out}
        return {which: list(rows.bad) if rows else [] for which, rows in both.items()}

    def counts(self) -> dict[str, Any]:
        held_out, left_out = self.held_out, self.left_out
        return {
            "eval_rows": held_out.rows if held_out else 0,
            "format": self.train.format.name,
            "left_out": len(left_out["train"]),
            "eval_left_out": len(left_out["eval"]),
        }


def checked_files(job: Job, blind: str = TEXT_ALONE) -> Files:
    """`blind`: why no row may show images. Raises `BadInput` with the lines that are no rows."""
    task: Literal["sft", "dpo"] = "dpo" if job.task == "dpo" else "sft"
    train = check_rows(job.data, blind, job.on_bad_row, task)
    files = Files(train, check_rows(job.eval_data, blind, job.on_bad_row, task) if job.eval_data else None)
    if files.held_out is not None and files.held_out.format is not files.train.format:
        what = f"its rows are {files.held_out.format.name}, and those of {job.data} are {files.train.format.name}"
        raise BadInput(Problem(what, where=str(job.eval_data), hint="held-out rows in the format of those trained on"))
    return files


def read_as(job: Job, files: Files) -> tuple[str, ...]:
    """What a plan says of the files of a job."""
    held_out = files.held_out
    said = () if held_out is None else said_of(held_out, str(job.eval_data), job.assistant_only_loss)
    return (*said_of(files.train, job.data, job.assistant_only_loss), *said)
