"""The plain text that Python ships with itself.

Three sources, all read from the running interpreter:

* the documentation strings in the standard library's .py files (parsed, never imported),
* the documentation strings of the modules written in C (imported and asked),
* the language and library topics of `pydoc_data.topics`.

Files that carry a licence notice of their own, beside Python's, are left out.
`documents(heldout)` puts it all together, without anything that answers a held-out question.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

# Folders that hold tests, vendored packages or one machine's settings rather than documentation.
SKIPPED_FOLDERS = {
    "__pycache__",
    "_bundled",
    "ensurepip",
    "idle_test",
    "lib-dynload",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "turtledemo",
}
OWN_NOTICE = re.compile(
    r"Permission to use|Permission is hereby|Permission is granted|Redistribution and use|"
    r"origin of this software|Apache License|GNU General Public|is hereby granted"
)

# Modules whose public names come, wholly or partly, from C.
C_MODULES = (
    "array",
    "atexit",
    "binascii",
    "bisect",
    "builtins",
    "cmath",
    "codecs",
    "collections",
    "contextvars",
    "csv",
    "datetime",
    "decimal",
    "errno",
    "faulthandler",
    "functools",
    "gc",
    "hashlib",
    "heapq",
    "io",
    "itertools",
    "json",
    "marshal",
    "math",
    "operator",
    "os",
    "pickle",
    "queue",
    "random",
    "re",
    "select",
    "signal",
    "socket",
    "string",
    "struct",
    "sys",
    "threading",
    "time",
    "tracemalloc",
    "types",
    "typing",
    "unicodedata",
    "warnings",
    "weakref",
    "zlib",
)


class Entry(NamedTuple):
    """One documented object: its dotted name, what kind of thing it is, how it is called, its text."""

    name: str
    kind: str  # module, class, function or method
    signature: str
    doc: str

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]


def letters(text: str) -> str:
    """The text without spaces, marks and case: two wordings that differ only in those are the same."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def rank(text: str) -> str:
    """A fixed place in an order that looks shuffled."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def source_files() -> Iterator[tuple[str, str]]:
    """(module name, source text) of the standard library, without files that have a notice of their own."""
    return ((module, text) for module, text in _all_source_files() if not OWN_NOTICE.search(text))


def own_notice_modules() -> set[str]:
    """The modules that carry a licence notice of their own."""
    return {module for module, text in _all_source_files() if OWN_NOTICE.search(text)}


def _all_source_files() -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if SKIPPED_FOLDERS.intersection(parts) or parts[0].startswith(("_sysconfigdata", "config-")):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join(parts), text


def entries_from_source() -> Iterator[Entry]:
    for module, text in source_files():
        tree = ast.parse(text)
        doc = ast.get_docstring(tree)
        if doc:
            yield Entry(module, "module", "", doc)
        yield from _entries_in(tree, module, inside_class=False)


def _entries_in(node: ast.AST, prefix: str, inside_class: bool) -> Iterator[Entry]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            name = f"{prefix}.{child.name}"
            doc = ast.get_docstring(child)
            if doc:
                yield Entry(name, "class", "", doc)
            yield from _entries_in(child, name, inside_class=True)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(child)
            if doc:
                kind = "method" if inside_class else "function"
                yield Entry(f"{prefix}.{child.name}", kind, f"({ast.unparse(child.args)})", doc)
        elif isinstance(child, (ast.If, ast.Try, ast.With)):
            yield from _entries_in(child, prefix, inside_class)


def entries_from_import(module_name: str) -> Iterator[Entry]:
    """The public names of one module, as the running interpreter documents them."""
    module = importlib.import_module(module_name)
    doc = inspect.getdoc(module)
    if doc:
        yield Entry(module_name, "module", "", doc)
    listed = getattr(module, "__all__", None)
    for name in sorted(listed or dir(module)):
        thing = getattr(module, name, None)
        if name.startswith("_") or thing is None or inspect.ismodule(thing):
            continue
        if not listed and not _belongs(thing, module_name):
            continue
        dotted = name if module_name == "builtins" else f"{module_name}.{name}"
        if inspect.isclass(thing):
            if thing.__dict__.get("__doc__"):
                yield Entry(dotted, "class", "", inspect.cleandoc(str(thing.__doc__)))
            for method_name, method in sorted(vars(thing).items()):
                text = _own_doc(method)
                if text and not method_name.startswith("_") and _is_method(method):
                    yield Entry(f"{dotted}.{method_name}", "method", _signature(method), text)
        elif inspect.isroutine(thing) and _own_doc(thing):
            yield Entry(dotted, "function", _signature(thing), _own_doc(thing))


def _belongs(thing: object, module_name: str) -> bool:
    """Whether a module without a list of public names defines this one, itself or in its C half."""
    origin = getattr(thing, "__module__", None) or module_name
    return origin.partition(".")[0].lstrip("_") in (module_name.partition(".")[0], "builtins", "io", "posix")


def _is_method(thing: object) -> bool:
    return inspect.isroutine(thing) or isinstance(thing, (staticmethod, classmethod))


def _own_doc(thing: object) -> str:
    doc = getattr(thing, "__doc__", None)
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


def _signature(thing: object) -> str:
    """How it is called, or nothing where that cannot be said or would differ from run to run."""
    if isinstance(thing, (staticmethod, classmethod)):
        thing = thing.__func__
    try:
        text = str(inspect.signature(thing))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    return "" if re.search(r"0x|<", text) else text


def tidy(text: str) -> str:
    """Documentation text without its roles, doubled marks and runs of blank lines."""
    text = text.expandtabs(4)
    text = re.sub(r":(?:\w+:)?\w+:`~?\.?([^`]+)`", r"\1", text)
    text = text.replace("``", "`")
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    text = re.sub(r"([-=~*#_])\1{4,}", r"\1\1\1", text)
    return text.strip()


def heldout_answers() -> list[str]:
    with open(HERE / "heldout.jsonl", encoding="utf-8") as rows:
        return [
            message["content"]
            for row in rows
            for message in json.loads(row)["messages"]
            if message["role"] == "assistant"
        ]


def heldout_names() -> set[str]:
    """The last part of every name asked about in the held-out rows, as the questions quote it."""
    with open(HERE / "heldout.jsonl", encoding="utf-8") as rows:
        questions = [json.loads(row)["messages"][0]["content"] for row in rows]
    quoted = [re.search(r"`([\w.]+)", question) for question in questions]
    return {match.group(1).rpartition(".")[2] for match in quoted if match}


def documents() -> list[str]:
    """Every document, in a fixed order, without those that could give a held-out answer away.

    Left out: each object with the name of a held-out one, and each text which has a held-out answer in it.
    """
    names = heldout_names()
    answers = [letters(answer) for answer in heldout_answers()]
    entries = list(entries_from_source())
    for module in C_MODULES:
        entries.extend(entries_from_import(module))
    texts = [
        f"{entry.kind} {entry.name}{entry.signature}\n\n{tidy(entry.doc)}"
        for entry in entries
        if entry.short_name not in names
    ]
    texts.extend(tidy(text) for _, text in sorted(topics.items()))

    kept: list[str] = []
    seen: set[str] = set()
    for text in texts:
        key = letters(text.partition("\n\n")[2]) or letters(text)
        if len(key) < 12 or key in seen:
            continue
        seen.add(key)
        if not any(answer in key for answer in answers):
            kept.append(text)
    return kept


def split(texts: Iterable[str], share: float = 0.02) -> tuple[list[str], list[str]]:
    """(training, held-out) documents, told apart by their text alone."""
    limit = f"{int(share * 16**8):08x}"
    training, heldout = [], []
    for text in sorted(texts, key=rank):
        (heldout if rank(text)[:8] < limit else training).append(text)
    return training, heldout
