"""Builds the example data set: questions about Python's standard library, answered by its own documentation.

An answer is the first sentence or two of an object's documentation string. Rows are told apart by the last
part of the object's name: everything called `join` is either in train.jsonl or in heldout.jsonl, never in
both. The same Python version gives the same bytes.

    python examples/stdlib/build_data.py
"""

from __future__ import annotations

import json
import re
from collections import Counter

from corpus import HERE, Entry, entries_from_import, letters, own_notice_modules, rank, tidy

TRAIN_ROWS = 900
HELDOUT_ROWS = 90
PER_MODULE = 24


def words(text: str) -> list[str]:
    return text.split()


MODULES = words(
    """
    abc argparse array ast asyncio base64 binascii bisect builtins calendar cmath cmd code codecs
    collections colorsys configparser contextlib copy csv dataclasses datetime decimal difflib dis doctest
    email.message email.utils enum filecmp fileinput fnmatch fractions ftplib functools gc getpass gettext
    glob graphlib gzip hashlib heapq hmac html html.parser http.client http.cookiejar http.server imaplib
    importlib importlib.metadata importlib.resources inspect io ipaddress itertools json keyword linecache
    locale mailbox math mimetypes multiprocessing netrc numbers operator os os.path pathlib pickle
    pickletools pkgutil plistlib poplib pprint queue quopri random re reprlib sched secrets selectors shelve
    shlex shutil signal smtplib socket socketserver stat statistics string struct subprocess symtable sys
    sysconfig tempfile textwrap threading time timeit tokenize tomllib traceback tracemalloc types typing
    unittest urllib.parse urllib.request urllib.robotparser uuid warnings wave weakref webbrowser
    wsgiref.util xml.dom.minidom xml.sax.saxutils zipapp zipfile zlib zoneinfo
    """
)

# Present on every system that Python runs on.
PORTABLE = {
    "os": words(
        """
        access chdir chmod close cpu_count fsync get_terminal_size getcwd getenv getlogin getpid getppid
        isatty link listdir lstat makedirs mkdir open pipe popen putenv read readlink remove removedirs
        rename renames replace rmdir scandir stat strerror symlink system times truncate umask unlink
        unsetenv urandom utime walk write
        """
    ),
    "signal": words("default_int_handler getsignal raise_signal set_wakeup_fd signal strsignal"),
    "socket": words(
        """
        create_connection create_server fromfd getaddrinfo getdefaulttimeout getfqdn gethostbyaddr
        gethostbyname gethostname has_dualstack_ipv6 htonl htons inet_aton inet_ntoa inet_ntop inet_pton
        ntohl ntohs setdefaulttimeout socketpair
        """
    ),
    "time": words(
        """
        asctime ctime gmtime localtime mktime monotonic perf_counter process_time sleep strftime strptime
        thread_time time
        """
    ),
}

# Objects whose first sentence does not say what they are.
LEFT_OUT = words(
    """
    ast.fix_missing_locations asyncio.Future asyncio.start_unix_server datetime datetime.datetime
    datetime.time http.cookiejar.DefaultCookiePolicy.return_ok http.cookiejar.MozillaCookieJar
    locale.resetlocale mailbox.Babyl.get_bytes os random.SystemRandom.getstate smtplib.SMTP.auth_plain
    socketserver.BaseServer.service_actions types.CodeType typing.ForwardRef unittest.main vars
    """
)
LEFT_OUT_PREFIX = "array.ArrayType"  # a second name of array.array

GOING = re.compile(r"[Dd]eprecated|[Oo]bsolete")
LEANING = re.compile(
    r"(Just )?(Like|like|Same as|Similar|A variant|Variant of|See|Internal|Alias|As above)\b"
)  # An answer which leans on another text.
NOT_PROSE = re.compile(r">>>|->|::|[|\\{}@$]|  |--|__\w+__|https?:|\bXXX\b|TODO|[Dd]eprecated|NOTE")

QUESTIONS = {
    "module": (
        "What is the module `{name}` for?",
        "What does Python's `{name}` module offer?",
        "What can I do with the `{name}` module?",
        "Describe the `{name}` module.",
    ),
    "class": (
        "What is the class `{name}`?",
        "What is `{name}` in Python?",
        "What does the class `{name}` represent?",
        "Describe the class `{name}`.",
    ),
    "function": (
        "What does `{name}` do?",
        "What does the function `{call}` do?",
        "What happens when I call `{name}`?",
        "In Python, what is `{call}` for?",
        "Explain the function `{name}`.",
    ),
    "method": (
        "What does the method `{name}` do?",
        "What does `{call}` do?",
        "In Python, what is the method `{name}` for?",
        "What happens when I call `{call}`?",
        "Explain the method `{name}`.",
    ),
}


def answer(doc: str) -> str:
    """The first sentence or two of a documentation string, or nothing where it has no plain sentence."""
    doc = tidy(doc)
    # Text from C may open with how the object is called.
    while match := re.match(r"[\w.]+\([^\n]*\)?( *-+>[^\n]*)?\n+(?=\S)", doc):
        doc = doc[match.end() :]
    paragraph = re.split(r"\n\s*\n|\n(?=\s*[-*+] )", doc, maxsplit=1)[0]
    text = re.sub(r"\s+", " ", paragraph).strip()
    text = re.sub(r"`([^`']+)'", r"`\1`", text)
    text = re.sub(r"(?<![\w*])\*(\w+(?: \w+)*)\*(?![\w*])", r"\1", text)
    taken = ""
    for sentence in re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.) +(?=[A-Z`'\"(])", text):
        if taken and (len(taken) >= 60 or len(taken) + len(sentence) > 200 or not is_plain(sentence)):
            break
        taken = f"{taken} {sentence}".strip()
    return taken if is_plain(taken) else ""


def is_plain(text: str) -> bool:
    return (
        len(text.split()) >= 5
        and 25 <= len(text) <= 260
        and text.isascii()
        and text[0].isupper()
        and text[-1] == "."
        and not text.endswith(("..", "e.g.", "i.e."))
        and text.count("(") == text.count(")")
        and text.count("[") == text.count("]")
        and text.count("`") % 2 == 0
        and text.count('"') % 2 == 0
        and not LEANING.match(text)
        and not NOT_PROSE.search(text)
        and sum(ch.isalpha() or ch == " " for ch in text) > 0.82 * len(text)
    )


def candidates() -> list[tuple[Entry, str]]:
    """(object, answer) for all that can be asked, in an order that looks shuffled; no answer twice."""
    found: dict[str, tuple[Entry, str]] = {}
    for module in modules():
        for entry in entries_from_import(module):
            portable = PORTABLE.get(module)
            if portable and entry.kind != "module" and entry.short_name not in portable:
                continue
            if entry.name in LEFT_OUT or entry.name.startswith(LEFT_OUT_PREFIX) or GOING.search(entry.doc):
                continue
            text = answer(entry.doc)
            if text:
                found.setdefault(letters(text), (entry, text))
    return sorted(found.values(), key=lambda pair: rank(pair[0].name))


def modules() -> list[str]:
    """The modules asked about: those of the list whose source carries no licence notice of its own."""
    with_notice = own_notice_modules()
    return sorted(module for module in MODULES if module not in with_notice)


def choose() -> tuple[list[tuple[Entry, str]], list[tuple[Entry, str]]]:
    """(training, held-out) objects with their answers, at most PER_MODULE objects of a module."""
    training: list[tuple[Entry, str]] = []
    heldout: list[tuple[Entry, str]] = []
    taken: Counter[str] = Counter()
    for entry, text in candidates():
        module = home(entry)
        if taken[module] >= PER_MODULE:
            continue
        # The name decides the side, so that one name is never on both.
        side = heldout if rank("side of " + entry.short_name)[0] == "0" else training
        if len(side) < (HELDOUT_ROWS if side is heldout else TRAIN_ROWS) + 40:
            side.append((entry, text))
            taken[module] += 1
    said = [set(text.lower().split()) for _, text in training]
    heldout = [pair for pair in heldout if not _close(set(pair[1].lower().split()), said)]
    return training[:TRAIN_ROWS], heldout[:HELDOUT_ROWS]


def home(entry: Entry) -> str:
    """The module that a name belongs to; the builtins for a name with none."""
    fitting = [module for module in MODULES if f"{entry.name}.".startswith(f"{module}.")]
    return max(fitting, key=len, default="builtins")


def _close(answer_words: set[str], others: list[set[str]]) -> bool:
    """Whether one of the others says nearly the same: six of ten words in common."""
    return any(len(answer_words & other) >= 0.6 * len(answer_words | other) for other in others)


def short_call(signature: str) -> str:
    """How an object is called, without what a caller does not write; empty brackets where that is long."""
    signature = signature.partition(" -> ")[0]
    if len(signature) > 36:
        return "()"
    signature = re.sub(r"^\((self|cls|type)\b(, /)?(, )?", "(", signature)
    return re.sub(r", /(?=[,)])", "", signature)


def row(entry: Entry, text: str) -> str:
    """One line of the data set. The name decides the phrasing of the question."""
    phrasings = QUESTIONS[entry.kind]
    phrasing = phrasings[int(rank("phrasing of " + entry.name), 16) % len(phrasings)]
    call = entry.name + short_call(entry.signature)
    messages = [
        {"role": "user", "content": phrasing.format(name=entry.name, call=call)},
        {"role": "assistant", "content": text},
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def main() -> None:
    training, heldout = choose()
    for file_name, pairs in (("train.jsonl", training), ("heldout.jsonl", heldout)):
        text = "".join(row(*pair) for pair in pairs)
        (HERE / file_name).write_text(text, encoding="utf-8", newline="\n")
        kinds = Counter(entry.kind for entry, _ in pairs)
        print(f"{file_name}: {len(pairs)} rows, {len(text.encode())} bytes, {dict(sorted(kinds.items()))}")


if __name__ == "__main__":
    main()
