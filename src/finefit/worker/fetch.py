"""Rows of a data set on the hub as one plain file, by `datasets`: JSON lines, or Parquet where rows have bytes.

Orders: id and commit (or `from`, a folder that is here), config, split, into (a folder), stem (of the file's name).
Out: file (its name), rows (how many). What is wrong with the words for them is a problem; a download that breaks is a
failure.

Code of a data set is never run: datasets from version 4 on refuses scripts, and no reader that unpickles goes by a
file's name. The file appears when it is whole; each row is as `datasets` has it, in its order.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.units import human_bytes

from .events import teller

SAID_EVERY_SECONDS = 5.0
SAID_EVERY_ROWS = 50_000
CONFIGS = re.compile(r"\[.*\]")


def main(orders_path: str, out_path: str) -> None:
    orders = json.loads(Path(orders_path).read_text())
    Path(out_path).write_text(json.dumps(fetched(orders, teller(orders))))


def fetched(orders: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"  # it would tell a server of Hugging Face which data set was loaded
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    into = Path(orders["into"])
    into.mkdir(parents=True, exist_ok=True)
    os.chdir(into)  # elsewhere a folder that is called like the data set would be taken for it
    rows = _loaded(orders, say)
    return {"file": _written(rows, into, orders["stem"], say), "rows": len(rows)}


def _loaded(orders: dict[str, Any], say: Callable[[str], None]) -> Any:
    from datasets import load_dataset_builder
    from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError, DatasetNotFoundError

    name, config = orders["id"], orders["config"]
    source = {"path": orders["from"]} if orders["from"] else {"path": name, "revision": orders["commit"]}
    try:
        builder = load_dataset_builder(**source, name=config)
        _refuse_other_split(builder, orders)
        say(f"downloading {name}{_size(builder)}, as datasets keeps it")
        with _watched(name, say):
            builder.download_and_prepare()
        return builder.as_dataset(split=orders["split"])
    except DatasetNotFoundError as error:
        raise BadInput(_refused(name, str(error))) from None
    except DataFilesNotFoundError as error:
        raise _bad(f"{name} has no files of rows", error) from None
    except DatasetGenerationError as error:
        raise _bad(f"the files of {name} make no table", error.__cause__ or error) from None
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        hint = f"{name}@refs/convert/parquet, where the hub has made Parquet of it"
        raise _bad(f"{name} is loaded by a script, and code of a data set is never run", error, hint) from None
    except ValueError as error:
        raise _bad(f"{name} is not read so", error, _which_config(name, error)) from None


def _refuse_other_split(builder: Any, orders: dict[str, Any]) -> None:
    """Before anything is downloaded. A split may be a slice."""
    known = list(builder.config.data_files or builder.info.splits or ())
    asked = re.split(r"\[", orders["split"])[0]
    if known and asked not in known:
        hint = " or ".join(f"{orders['id']}:{_before(orders['config'])}{split}" for split in map(str, known))
        raise BadInput(Problem(f"{orders['id']} has no split '{asked}'", hint=hint))


def _before(config: str | None) -> str:
    return f"{config}:" if config else ""


def _size(builder: Any) -> str:
    nbytes = builder.info.download_size
    return f": {human_bytes(nbytes)}" if nbytes else ""


def _refused(name: str, text: str) -> Problem:
    if "gated" in text:
        what = f"the data set {name} is gated: its owner lets in who has agreed to its conditions"
        return Problem(what, hint=f"agree on https://huggingface.co/datasets/{name}, then `hf auth login`")
    return Problem(f"there is no data set '{name}' that this machine may see", why=text, hint="`hf auth login`")


def _bad(what: str, error: BaseException, hint: str = "") -> BadInput:
    return BadInput(Problem(what, why=" ".join(str(error).split())[:300], hint=hint))


def _which_config(name: str, error: ValueError) -> str:
    configs = CONFIGS.search(str(error))
    return f"{name}:CONFIG:SPLIT, of {configs[0]}" if configs else ""


@contextmanager
def _watched(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says how much of a data set the hub's cache has, as it grows."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder, over = Path(HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}", "blobs"), threading.Event()

    def watch() -> None:
        before = 0
        while not over.wait(SAID_EVERY_SECONDS):
            nbytes = _bytes_in(folder)
            if nbytes > before:
                say(f"downloading {name}: {human_bytes(nbytes)} are here")
            before = nbytes

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    """Files come and go meanwhile."""
    found = 0
    for path in folder.glob("*"):
        try:
            found += path.stat().st_size
        except OSError:
            continue
    return found


def _written(rows: Any, into: Path, stem: str, say: Callable[[str], None]) -> str:
    has_bytes = any(map(_is_bytes, rows.features.values()))
    name = f"{stem}.parquet" if has_bytes else f"{stem}.jsonl"
    partial = into / f".partial-{os.getpid()}-{name}"
    say(f"writing {len(rows):,} rows")
    try:
        if has_bytes:
            _embedded(rows).to_parquet(str(partial))
        else:
            _lines(rows, partial, say)
        partial.replace(into / name)
    finally:
        partial.unlink(missing_ok=True)
    return name


def _lines(rows: Any, path: Path, say: Callable[[str], None]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            if number % SAID_EVERY_ROWS == 0:
                say(f"writing {len(rows):,} rows: {number:,} are written")


def _embedded(rows: Any) -> Any:
    """With what files show in the rows themselves, as `push_to_hub` has it."""
    from datasets.table import embed_table_storage

    return rows.with_format("arrow").map(embed_table_storage, batched=True, batch_size=100).with_format(None)


def _is_bytes(feature: Any) -> bool:
    """Whether JSON has no word for it: bytes, images, sounds."""
    if isinstance(feature, dict):
        return any(map(_is_bytes, feature.values()))
    if isinstance(feature, list):
        return any(map(_is_bytes, feature))
    if hasattr(feature, "embed_storage"):
        return True
    inner = getattr(feature, "feature", None)
    return _is_bytes(inner) if inner is not None else "binary" in str(getattr(feature, "dtype", ""))
