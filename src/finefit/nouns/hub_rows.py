"""Rows of a data set on the Hugging Face hub, as a job names them: `org/name`, `org/name:split`,
`org/name:config:split`, and `org/name@revision` with any of these.

Config, split and revision are those of `datasets.load_dataset`; a split may be a slice, `train[:1000]`.
Does not know: whether the hub has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

SPELLED = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(@(?P<revision>[\w./-]+))?"
    r"(:(?P<config>[\w.+-]+)(?=:))?"
    r"(:(?P<split>\w+(\.\w+)*(\[[\d%:-]*\])?))?",
    re.ASCII,
)
NOTATION = "org/name:split, or org/name:config:split"
OF_FILES = (
    ".jsonl",
    ".json",
    ".csv",
    ".parquet",
    ".tsv",
    ".txt",
    ".xlsx",
    ".xls",
    ".arrow",
    ".yaml",
    ".gz",
    ".zip",
    ".zst",
)
"""What a name of two parts ends with that is a file's."""
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubRows:
    id: str
    config: str | None = None
    # None: the one that the data set calls its default
    split: str | None = None
    revision: str | None = None
    # a branch, a tag or a commit; None: main

    def __str__(self) -> str:
        parts = [self.id + (f"@{self.revision}" if self.revision else ""), self.config, self.split]
        return ":".join(part for part in parts if part)

    @property
    def is_pinned(self) -> bool:
        """Whether these rows can never be others."""
        return bool(self.revision and COMMIT.fullmatch(self.revision))

    def at(self, commit: str) -> HubRows:
        return replace(self, revision=commit)


@dataclass(frozen=True)
class FetchedRows:
    """Rows of the hub in a file of this machine."""

    key: str
    # `data` or `eval_data` of the job
    rows: HubRows
    # at a commit
    path: str
    count: int
    # rows in the file, bad ones too
    sha256: str
    # of the file


def hub_rows(text: str) -> HubRows | None:
    """What `text` names; None where it can only be a path. A path that exists is not asked about here."""
    found = SPELLED.fullmatch(text)
    if found is None or found["id"].lower().endswith(OF_FILES):
        return None
    return HubRows(found["id"], found["config"], found["split"], found["revision"])
