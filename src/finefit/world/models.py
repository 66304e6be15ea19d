"""A model's configuration, from where the user says: a folder, a config.json, a bundled name, or a hub id.

Knows: the configuration; whether a folder holds weights and a tokenizer that can be trained.
Does not know: whether the installed transformers has the architecture. Downloads no weights.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.catalog.models import model_named, names
from finefit.errors import BadInput, Problem
from finefit.nouns.model import Model
from finefit.nouns.packed import is_understood, quantized_by, said_of_quantization

from . import hub
from .pictures import said_of_pictures
from .weights import wrong_with_tokenizer, wrong_with_weights

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def find_model(
    text: str, trust_remote_code: bool = False, *, for_training: bool = False, from_scratch: bool = False
) -> Model:
    """The model that `text` means; a local path wins over a name. For training, with a folder that has it all; from
    scratch, it needs no weights."""
    model = _found(text, trust_remote_code)
    return _with_folder(model, from_scratch) if for_training else model


def _found(text: str, trust_remote_code: bool) -> Model:
    path = Path(text).expanduser()
    if text and path.exists():
        folder = path if path.is_dir() else None
        return _checked(text, path / "config.json" if folder else path, folder)
    if looks_like_path(text):
        raise BadInput(Problem(f"there is no '{text}'", hint="a folder with config.json, or a config.json itself"))
    bundled = model_named(text)
    return bundled or _from_hub(text, trust_remote_code)


def looks_like_path(text: str) -> bool:
    """Whether no hub id can be meant."""
    return text.startswith(("./", "../", "/", "~")) or text in (".", "..") or text.endswith(".json")


def _with_folder(model: Model, from_scratch: bool) -> Model:
    """The model with the folder that training loads; BadInput says all that the folder lacks."""
    folder = Path(model.folder) if model.folder else hub.snapshot_here(model.id)
    if folder is None:
        raise BadInput(
            Problem(
                f"the weights of {model.id} are not on this machine",
                why=f"its configuration comes from {model.source}; weights are not downloaded by finefit",
                hint=f"`hf download {model.id}`, or a local folder with its weights and tokenizer",
            )
        )
    problems = tuple(wrong_with_tokenizer(folder)) if from_scratch else wrong_with_weights(folder)
    if problems:
        raise BadInput(*problems)
    return replace(model, folder=str(folder), pictures=said_of_pictures(folder))


def with_tokenizer(model: Model) -> tuple[Model, bool]:
    """The model with the folder of its tokenizer, and whether there is one on this machine."""
    folder = Path(model.folder) if model.folder else hub.snapshot_here(model.id)
    if folder is None or not (folder / "tokenizer.json").exists():
        return model, False
    return replace(model, folder=str(folder), pictures=said_of_pictures(folder)), True


def _from_hub(text: str, trust_remote_code: bool) -> Model:
    if not HUB_ID.fullmatch(text):
        raise BadInput(
            Problem(f"'{text}' is no model", why="neither a path, a bundled name nor a hub id", hint=near(text))
        )
    if trust_remote_code:
        raise BadInput(
            Problem(
                f"'{text}' is not a local folder",
                where="trust_remote_code",
                why="code that came with a model runs from a folder that can be read before",
                hint=f"`hf download {text} --local-dir FOLDER`, look at its *.py, and give the folder",
            )
        )
    try:
        path = hub.cached_config(text) or hub.downloaded_config(text)
    except hub.NotReachable as error:
        raise BadInput(Problem(f"no configuration of '{text}'", why=str(error), hint=near(text))) from None
    return _checked(text, path, None)


def near(text: str) -> str:
    """Bundled names like `text`, which need no network."""
    by_word: dict[str, str] = {}
    for name in names():
        by_word.setdefault(name.lower(), name)
        by_word.setdefault(name.lower().rpartition("/")[2], name)
    wanted = text.lower()
    close = difflib.get_close_matches(wanted, by_word, n=3, cutoff=0.6)
    close += difflib.get_close_matches(wanted.rpartition("/")[2], by_word, n=3, cutoff=0.6)
    found = list(dict.fromkeys(by_word[word] for word in close))[:3]
    if found:
        return "did you mean " + ", ".join(found) + "? (bundled)"
    return "a local folder with config.json, or a bundled name like Qwen/Qwen2.5-0.5B"


def _checked(text: str, path: Path, folder: Path | None) -> Model:
    config = _read(path)
    problems = list(_wrong_with(config, str(path)))
    if problems:
        raise BadInput(*problems)
    where, pictures = (None, {}) if folder is None else (str(folder.resolve()), said_of_pictures(folder))
    return Model(id=text, config=config, folder=where, source=str(path), pictures=pictures)


def _read(path: Path) -> dict[str, Any]:
    where = str(path)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "the folder that `save_pretrained` or `hf download` wrote"
        raise BadInput(Problem("the folder has no config.json", where=str(path.parent), hint=hint)) from None
    except OSError as error:
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=where)) from None
    except ValueError as error:  # JSON and UTF-8
        raise BadInput(Problem(f"not JSON: {error}", where=where)) from None
    if not isinstance(config, dict):
        raise BadInput(Problem("not a JSON object", where=where))
    return config


def _wrong_with(config: dict[str, Any], where: str) -> list[Problem]:
    problems = []
    if "base_model_name_or_path" in config and "peft_type" in config:
        return [Problem("this is an adapter, not a model", where=where, hint=str(config["base_model_name_or_path"]))]
    if not isinstance(config.get("model_type"), str):
        why = "transformers finds the architecture by it"
        problems.append(Problem("no `model_type`", where=where, why=why))
    if not _has_layers(config):
        why = "one of num_hidden_layers, n_layer, num_layers, n_layers is needed, here or in text_config"
        problems.append(Problem("no number of layers", where=where, why=why))
    said = said_of_quantization(config)
    if said is not None and not is_understood(said):
        problems.append(
            Problem(
                f"its weights are quantised in a way that finefit cannot train beside: {quantized_by(said)}",
                where=f"{where}: quantization_config",
                why="what is quantised already must be bitsandbytes' load_in_4bit (nf4, fp4) or load_in_8bit",
                hint="the same model unquantised: qlora4 and qlora8 quantise it as it is loaded",
            )
        )
    return problems


def _has_layers(config: dict[str, Any]) -> bool:
    if not isinstance(config.get("text_config") or {}, dict):
        return False
    try:
        return Model(id="", config=config).layers > 0
    except AssertionError:  # how the noun says that there is none
        return False
