"""Speaking with a worker that stays, with a small script in its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from finefit.errors import BadInput, RunFailed
from finefit.nouns.sampling import Sampling
from finefit.run import session, worker

ECHO = """
import json, sys
def say(event, **values): print(json.dumps({"event": event, **values}), flush=True)
def answer(text, stopped=False): say("answered", text=text, tokens=len(text), seconds=0.5, stopped=stopped)
say("ready")
for line in sys.stdin:
    asked = json.loads(line)
    if "stop" in asked:
        continue
    last = asked["messages"][-1]["content"]
    if last == "die":
        sys.exit("KeyError: everything")
    elif last == "long":
        say("refused", problems=[{"what": "too long"}])
    elif last == "wait":
        say("text", text="wai")
        answer("wai", json.loads(sys.stdin.readline()) == {"stop": asked["answer"]})
    else:
        say("text", text=last)
        answer(f"{last} {len(asked['messages'])} {asked['temperature']}")
"""
SAMPLING = Sampling(temperature=0.5)


@pytest.fixture(autouse=True)
def _scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake.py").write_text(ECHO)
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))


def test_a_session_keeps_the_conversation() -> None:
    """Every question comes with what was said before; a reset forgets it."""
    heard: list[str] = []
    with session.opened({}, SAMPLING) as chat:
        assert chat.say("one", heard.append).text == "one 1 0.5"
        assert chat.say("two", heard.append).text == "two 3 0.5"
        chat.reset()
        assert chat.say("three", heard.append).text == "three 1 0.5"
    assert heard == ["one", "two", "three"]


def test_what_cannot_be_answered_was_not_said() -> None:
    """The conversation goes on as if it had not been."""
    with session.opened({}, SAMPLING) as chat:
        with pytest.raises(BadInput, match="too long"):
            chat.say("long", str)
        assert chat.say("one", str).text == "one 1 0.5"


def test_an_answer_is_stopped_by_its_number() -> None:
    """A stop names the answer that it is about, and what was written until then stays."""
    with session.opened({}, SAMPLING) as chat:
        answer = chat.say("wait", lambda _: chat.stop())
        assert (answer.text, answer.was_stopped) == ("wai", True)
        assert chat.messages[-1] == {"role": "assistant", "content": "wai"}


def test_a_worker_that_dies_is_told_with_its_last_words() -> None:
    """Not a broken pipe: why it ended, and where its log is."""
    with pytest.raises(RunFailed, match="KeyError: everything") as failed, session.opened({}, SAMPLING) as chat:
        chat.say("die", str)
    assert "KeyError" in Path(failed.value.log).read_text()
