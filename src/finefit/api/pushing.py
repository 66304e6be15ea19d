"""A model that is given to the Hugging Face hub: whether it may be, asked before the work, and the upload, after it.

The token is the one that huggingface_hub finds (`HF_TOKEN`, or what `hf auth login` kept); it is not read here, and
written nowhere. A new repository is private unless the user says otherwise; one that is there stays as it is.

Knows: what the hub says of the token, its user and the repository. Does not know: storage that is used up, and a right
that a fine-grained token lacks for one repository that is not there yet; the upload meets these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem, RunFailed
from finefit.units import human_bytes
from finefit.world import hub

OPTION = "--push-to-hub"
NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
LOGIN = "`hf auth login` with a token that may write, or HF_TOKEN"


@dataclass(frozen=True)
class Target:
    name: str
    # with the user or the organisation that it belongs to
    is_private: bool
    # if it is made anew


def ask(name: str, private: bool | None) -> Target:
    """Whether a model may be pushed. `private`: as the user says; None: private where it is new. Raises `BadInput`."""
    if not NAME.fullmatch(name):
        raise _no(f"'{name}' is no name on the hub", "", "org/name, or name for your own")
    variable = hub.is_offline()
    if variable:
        raise _no("nothing can be pushed", f"{variable} is set", "without it")
    try:
        hub.knock()
    except hub.NotReachable as error:
        raise _no("the hub cannot be reached", str(error), "leave it out, and `hf upload` later") from None
    user = _user()
    name = name if "/" in name else f"{user['name']}/{name}"
    known = _repository(name)
    if known is None:
        _refuse_namespace(name, user)
        return Target(name, private is not False)
    if private is not None and bool(known.private) is not private:
        is_now = "private" if known.private else "public"
        raise _no(f"{name} is there, and {is_now}", "what is there stays as it is", "leave it out; its settings say so")
    return Target(name, bool(known.private))


def push(folder: Path, target: Target, title: str, say: Callable[[str], None]) -> str:
    """All files of a folder as one commit; the page of it. Raises `RunFailed`: the folder stays."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    add = [CommitOperationAdd(path.relative_to(folder).as_posix(), str(path)) for path in files]
    try:
        with _without_bars():
            say(f"pushing {len(files)} files to {target.name}")
            api.create_repo(target.name, private=target.is_private, exist_ok=True)
            for number, (path, one) in enumerate(zip(files, add, strict=True), 1):
                say(f"pushing {path.name}, {human_bytes(path.stat().st_size)}: {number} of {len(files)} files")
                api.preupload_lfs_files(target.name, [one])
            done = api.create_commit(target.name, add, commit_message=title)
    except Exception as error:  # its tree of errors, and that of its HTTP library, differ by version
        again = f"it is in {folder}; `hf upload {target.name} {folder}` tries again"
        raise RunFailed(f"the model was not pushed: {hub.first_line(error)}; {again}") from None
    return str(done.commit_url)


def _user() -> dict[str, Any]:
    """Of a token that may write somewhere."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise _no("nobody is logged in", "", LOGIN)
    try:
        user: dict[str, Any] = HfApi().whoami()
    except Exception as error:
        raise _no("the hub does not take the token", hub.first_line(error), LOGIN) from None
    if not _writes(user.get("auth", {}).get("accessToken") or {}):
        raise _no(f"the token of {user['name']} may not write", "", LOGIN)
    return user


def _writes(token: dict[str, Any]) -> bool:
    """A fine-grained one, if it may write anything at all."""
    match token.get("role"):
        case "read":
            return False
        case "fineGrained":
            scopes = (token.get("fineGrained") or {}).get("scoped") or []
            return any("repo.write" in scope.get("permissions", ()) for scope in scopes)
    return True


def _repository(name: str) -> Any:
    """None where there is none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi()
    try:
        found = api.model_info(name)
        api.auth_check(name, write=True)
    except RepositoryNotFoundError:
        return None
    except Exception as error:
        raise _no(f"{name} may not be written", hub.first_line(error), LOGIN) from None
    return found


def _refuse_namespace(name: str, user: dict[str, Any]) -> None:
    roles = {org["name"]: org.get("roleInOrg") for org in user.get("orgs", ())}
    owner = name.split("/")[0]
    if owner == user["name"]:
        return
    if owner not in roles:
        own = ", ".join([user["name"], *roles])
        raise _no(
            f"{user['name']} may not make {name}", f"{owner} is neither the user nor one of its organisations", own
        )
    if roles[owner] == "read":
        raise _no(f"{user['name']} may not make {name}", f"in {owner} it may only read", "ask an admin of it")


@contextmanager
def _without_bars() -> Iterator[None]:
    """What is pushed is said line by line."""
    from huggingface_hub import utils

    bars: Any = utils  # its names are in no list of what it exports
    if bars.are_progress_bars_disabled():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()


def _no(what: str, why: str, hint: str) -> BadInput:
    return BadInput(Problem(what, OPTION, why, hint))
