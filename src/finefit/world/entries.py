"""What the user wrote: each key with its value and its place, from a YAML file or from options.

Knows where everything stands. Does not know what a key means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem


@dataclass(frozen=True)
class Entry:
    key: str
    written: str
    # the key as the user called it
    value: Any
    where: str
    # `job.yaml:3: lora_r` or `--lora-r`
    base: Path
    # the folder from which a relative path in `value` starts


def from_file(path: Path) -> list[Entry]:
    """The keys of a YAML mapping in their order; keys of inner mappings are joined with dots, like `lora.r`."""
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(_text(path))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise BadInput(Problem("not a mapping of keys to values", where=str(path), hint="lines like `model: gpt2`"))
        return list(_walk(loader, root, path, ""))
    except yaml.MarkedYAMLError as error:
        raise BadInput(_syntax(error, path)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(Problem("not YAML", where=str(path), why=str(error).replace("\n", " "))) from None
    finally:
        if loader is not None:
            loader.dispose()


def from_options(options: Mapping[str, str]) -> list[Entry]:
    """`max-length` and `max_length` are one key; paths start in the current folder, as in any command."""
    here = Path.cwd()
    keys = {name: name.replace("-", "_") for name in options}
    return [Entry(key, key, _null(options[name]), f"--{name}", here) for name, key in keys.items()]


def _null(value: str) -> str | None:
    return None if value in ("null", "~") else value


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInput(Problem("not UTF-8", where=f"{path}:{line}")) from None
    except IsADirectoryError:
        hint = "a run folder is resumed with --resume" if (path / "plan.json").exists() else ""
        raise BadInput(Problem("this is a folder, not a job file", where=str(path), hint=hint)) from None
    except OSError as error:
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=str(path), hint=_others(path))) from None


def _others(path: Path) -> str:
    """Job files that are there instead."""
    names = sorted(str(other) for other in path.parent.glob("*.y*ml"))[:3]
    return "there is " + ", ".join(names) if names else ""


def _walk(loader: Any, mapping: Any, path: Path, prefix: str) -> Iterator[Entry]:
    import yaml

    for key_node, value_node in mapping.value:
        key = prefix + str(key_node.value)
        if isinstance(value_node, yaml.MappingNode):
            yield from _walk(loader, value_node, path, key + ".")
        else:
            value = loader.construct_object(value_node, deep=True)
            yield Entry(key, key, value, f"{path}:{key_node.start_mark.line + 1}: {key}", path.parent)


def _syntax(error: Any, path: Path) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    return Problem(f"not YAML: {error.problem or error.context}", where=where)
