"""Whether a model may be pushed, and the push, by the real client to a hub on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finefit.api.pushing import Target, ask, push
from finefit.errors import BadInput, RunFailed
from hub import Hub, Repo, serving

ORGS = [{"name": "org", "roleInOrg": "write"}, {"name": "readers", "roleInOrg": "read"}]


def user(role: str, **more: Any) -> dict[str, Any]:
    return {"name": "me", "orgs": ORGS, "auth": {"accessToken": {"role": role, **more}}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Where `me` may write in `me` and `org`."""
    with serving() as made:
        for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        scoped = [{"entity": {"name": "me"}, "permissions": ["repo.content.read"]}]
        made.users = {
            "writes": user("write"),
            "reads": user("read"),
            "fine": user("fineGrained", fineGrained={"scoped": [{"permissions": ["repo.write"]}]}),
            "fine, reads": user("fineGrained", fineGrained={"scoped": scoped}),
        }
        made.models = {"org/public": Repo(), "org/private": Repo(private=True), "other/public": Repo()}
        yield made


TARGETS = [
    # the name, as the user says, what comes of it
    ("org/new", None, Target("org/new", True)),
    ("new", True, Target("me/new", True)),
    ("org/new", False, Target("org/new", False)),
    ("org/public", None, Target("org/public", False)),
    ("org/private", None, Target("org/private", True)),
    ("org/private", True, Target("org/private", True)),
]


@pytest.mark.parametrize("token", ["writes", "fine"])
@pytest.mark.parametrize(("name", "private", "found"), TARGETS)
def test_what_is_new_is_private_and_what_is_there_stays(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str, name: str, private: bool | None, found: Target
) -> None:
    """Asking changes nothing on the hub."""
    monkeypatch.setenv("HF_TOKEN", token)
    assert ask(name, private) == found
    assert all(one.startswith("GET ") for one in hub.asked)


REFUSED = [
    ("writes", "a b", None, "is no name on the hub"),
    ("", "org/new", None, "nobody is logged in"),
    ("unknown", "org/new", None, "the hub does not take the token"),
    ("reads", "org/new", None, "the token of me may not write"),
    ("fine, reads", "me/new", None, "the token of me may not write"),
    ("writes", "other/new", None, "other is neither the user nor one of its organisations"),
    ("writes", "other/public", None, "other/public may not be written"),
    ("writes", "readers/new", None, "in readers it may only read"),
    ("writes", "org/public", True, "org/public is there, and public"),
    ("writes", "org/private", False, "org/private is there, and private"),
]


@pytest.mark.parametrize(("token", "name", "private", "said"), REFUSED)
def test_who_may_not_write_is_told_before(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str, name: str, private: bool | None, said: str
) -> None:
    """In one message, without the token, and nothing is made."""
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(BadInput) as caught:
        ask(name, private)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert token == "" or f"'{token}'" not in str(problem)
    assert all(one.startswith("GET ") for one in hub.asked)


def test_offline_nothing_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where a variable forbids it, nor where nobody answers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput, match="HF_HUB_OFFLINE is set"):
        ask("org/new", None)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(BadInput, match="says nothing"):
        ask("org/new", None)
    assert not hub.asked


def test_a_folder_is_one_commit(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With all its files, on what was there before; a push that fails says what is left, and where."""
    monkeypatch.setenv("HF_TOKEN", "writes")
    folder = tmp_path / "out"
    (folder / "inner").mkdir(parents=True)
    files = {"model.safetensors": b"\1" * 1000, "inner/notes.txt": b"notes", "config.json": b"{}"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    said: list[str] = []
    url = push(folder, Target("org/new", True), "title", said.append)
    assert hub.models["org/new"].commits == {url.rsplit("/", 1)[1]: files}
    assert (hub.models["org/new"].private, len(hub.objects)) == (True, 1)
    assert "pushing model.safetensors, 1.0 KiB: 3 of 3 files" in said
    with pytest.raises(RunFailed, match=re.escape(f"it is in {folder}; `hf upload other/new {folder}`")):
        push(folder, Target("other/new", True), "title", said.append)
