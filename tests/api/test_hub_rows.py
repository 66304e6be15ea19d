"""Rows of the hub: the real datasets and huggingface_hub, over a hub on loopback, as a user meets them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from finefit.api import fetching
from finefit.errors import BadInput
from finefit.nouns.hub_rows import FetchedRows, HubRows, hub_rows
from hub import Hub, Repo, serving

pytest.importorskip("datasets")
pytest.importorskip("pyarrow")

README = b"""---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
- config_name: short
  data_files:
  - {split: train, path: data/test-*}
---
"""


def conversations(count: int, said: str) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": f"{said} {n}?"}, {"role": "assistant", "content": "ä" * (n + 1)}]}
        for n in range(count)
    ]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def files(count: int, said: str) -> dict[str, bytes]:
    rows = conversations(count, said)
    return {"README.md": README, "data/train-0.parquet": parquet(rows), "data/test-0.parquet": parquet(rows[:2])}


@dataclass
class Said:
    code: int
    out: str
    err: str
    asked: list[str]
    # of the hub, about data sets


Finefit = Callable[..., Said]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """Data sets of each kind; `org/rows` has two commits."""
    with serving() as made:
        made.data["org/rows"] = rows = Repo()
        rows.add(files(3, "before"))
        rows.add(files(5, "now"))
        made.data["org/gated"] = Repo(gated=True)
        made.data["org/gated"].add(files(1, "secret"))
        made.data["org/script"] = Repo()
        made.data["org/script"].add({"script.py": b"raise SystemExit('it was run')"})
        made.data["org/two"] = Repo()
        made.data["org/two"].add(files(3, "two") | {"README.md": README.replace(b"name: default", b"name: long")})
        bad = conversations(3, "bad")
        bad[1] = {"messages": []}
        lines = "\n".join(json.dumps(row) for row in bad).encode()
        made.data["org/bad"] = Repo()
        made.data["org/bad"].add({"train.jsonl": lines})
        yield made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def finefit(hub: Hub, home: Path, tmp_path: Path) -> Finefit:
    """The command itself, in an empty folder; tests share what was fetched."""

    def run(*words: str, **variables: str) -> Said:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "FINEFIT_CACHE": str(home / "finefit")}
        environment |= {"COLUMNS": "400", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-m", "finefit", *words],
            env=environment | variables,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert "Traceback" not in done.stderr
        asked, hub.asked = hub.asked, []
        return Said(done.returncode, done.stdout, done.stderr, [one for one in asked if "/org/" in one])

    return run


def kept(home: Path, name: str, hub: Hub, file: str) -> Path:
    return home / "finefit" / "hub" / name / hub.data[name].head / file


def test_rows_are_fetched_once_and_read_from_a_plain_file(finefit: Finefit, hub: Hub, home: Path) -> None:
    """As they are in the data set, letter for letter; the second time only the commit is asked."""
    told = finefit("data", "org/rows", "--json")
    assert told.code == 0, told.err
    file = kept(home, "org/rows", hub, "train.jsonl")
    assert [json.loads(line) for line in file.read_text().splitlines()] == conversations(5, "now")
    assert json.loads(told.out)["rows"] == 5
    assert f"org/rows@{hub.data['org/rows'].head}:train: 5 rows" in told.out
    assert "writing 5 rows" in told.err
    assert finefit("data", "org/rows").asked == ["GET /api/datasets/org/rows"]


def test_a_commit_a_config_and_a_slice_are_as_datasets_has_them(finefit: Finefit, hub: Hub) -> None:
    """And what is pinned is asked of nobody, once it is here."""
    before = next(iter(hub.data["org/rows"].commits))
    named = f"org/rows@{before}:short:train[:1]"
    assert json.loads(finefit("data", named, "--json").out)["rows"] == 1
    told = finefit("data", named, "--json", HF_HUB_OFFLINE="1")
    assert json.loads(told.out)["rows"] == 1
    assert not finefit("data", named).asked


def test_offline_the_commit_that_was_fetched_stands_in(finefit: Finefit, hub: Hub, home: Path) -> None:
    """Where it may not be the newest, that is said; a split that nobody fetched comes from the hub's own cache."""
    assert finefit("data", "org/rows").code == 0
    for named, why in (("org/rows", "HF_HUB_OFFLINE is set"), ("org/rows:test", "HF_HUB_OFFLINE is set")):
        told = finefit("data", named, HF_HUB_OFFLINE="1")
        assert told.code == 0, told.err
        assert why in told.out
        assert "may not be the newest" in told.out
    told = finefit("data", "org/rows", HF_ENDPOINT="http://127.0.0.1:1")
    assert (told.code, "127.0.0.1 says nothing" in told.out) == (0, True)


def test_a_plans_files_name_the_commit_and_the_script_the_file(
    finefit: Finefit, hub: Hub, home: Path, tmp_path: Path
) -> None:
    """So what is planned today is trained on the same rows later, with finefit or without."""
    told = finefit("plan", "meta-llama/Llama-3.1-8B", "--data", "org/rows", "--gpu", "RTX4090", "-o", "out")
    assert told.code == 0, told.err
    assert yaml.safe_load((tmp_path / "out" / "job.yaml").read_text())["data"] == (
        f"org/rows@{hub.data['org/rows'].head}:train"
    )
    script = (tmp_path / "out" / "train.py").read_text()
    assert f'DATA = "{kept(home, "org/rows", hub, "train.jsonl")}"' in script


def test_a_bad_row_is_named_by_its_line(finefit: Finefit, hub: Hub, home: Path) -> None:
    """Which is that of the data set's row."""
    told = finefit("data", "org/bad")
    assert told.code == 2
    assert f"{kept(home, 'org/bad', hub, 'train.jsonl')}:2: " in told.out


NOBODY = "http://127.0.0.1:1"
REFUSED = [
    (("org/nowhere",), {}, ["there is no 'org/nowhere'", "`hf auth login`"]),
    (("org/gated",), {}, ["org/gated is gated", "`hf auth login`"]),
    (("org/rows:dev",), {}, ["org/rows has no split 'dev'", "org/rows:train or org/rows:test"]),
    (("org/rows@old",), {}, ["org/rows has no revision 'old'"]),
    (("org/two",), {}, ["org/two:CONFIG:SPLIT, of ['long', 'short']"]),
    (("org/script",), {}, ["org/script is loaded by a script", "never run", "org/script@refs/convert/parquet"]),
    (("some/rows",), {"HF_HUB_OFFLINE": "1"}, ["HF_HUB_OFFLINE is set", "`hf download --repo-type dataset"]),
    (("some/rows",), {"HF_ENDPOINT": NOBODY}, ["127.0.0.1 says nothing", "`finefit data some/rows:train`"]),
    (("rows.jsonl",), {}, ["rows.jsonl: cannot be read"]),
]  # fmt: skip


@pytest.mark.wide(6)
@pytest.mark.parametrize(("words", "variables", "said"), REFUSED, ids=lambda value: str(value)[:24])
def test_what_cannot_be_fetched_is_one_problem(
    finefit: Finefit, words: tuple[str, ...], variables: dict[str, str], said: list[str]
) -> None:
    """With what to try, and exit code 2; nothing is left in the cache."""
    told = finefit("data", *words, **variables)
    assert told.code == 2, told.err
    assert "1 problem" in told.err
    for words_ in said:
        assert words_ in told.err


SPELLED = {
    "org/rows": HubRows("org/rows"),
    "org/rows:train_sft": HubRows("org/rows", None, "train_sft"),
    "org/rows:en-de:train": HubRows("org/rows", "en-de", "train"),
    "org/rows@v1.0:c:train[10%:20%]": HubRows("org/rows", "c", "train[10%:20%]", "v1.0"),
    "org/rows@refs/convert/parquet": HubRows("org/rows", None, None, "refs/convert/parquet"),
    "org/rows.jsonl": None,
    "rows": None,
    "./org/rows": None,
    "/org/rows": None,
    "a/b/c": None,
    "org/rows:": None,
    "org/rows:a b": None,
}


@pytest.mark.parametrize(("text", "found"), SPELLED.items())
def test_what_names_rows_of_the_hub(text: str, found: HubRows | None) -> None:
    """And says itself again as it was written."""
    assert hub_rows(text) == found
    assert found is None or str(found) == text


def test_a_run_goes_on_with_the_rows_it_began_with(tmp_path: Path) -> None:
    """A file that is another one by now is refused."""
    path = tmp_path / "train.jsonl"
    path.write_text("rows")
    rows = HubRows("org/rows", None, "train", "a" * 40)
    began = FetchedRows("data", rows, str(path), 1, hashlib.sha256(b"rows").hexdigest())
    fetching.restored([began], lambda _: None)
    path.write_text("others")
    with pytest.raises(BadInput, match="the rows have changed"):
        fetching.restored([began], lambda _: None)
