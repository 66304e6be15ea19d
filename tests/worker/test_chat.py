"""A real model that stays loaded, and files of prompts: the same answers, however they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.nouns.sampling import Sampling
from finefit.run import session
from finefit.worker.generate import generate

pytestmark = pytest.mark.xdist_group("chat")

WORDS = ["w5", "w1 w2 w3 w4 w5 w6 w7", "w60 w3", "w9 w9 w9 w9", "w41"]
ASKED = Sampling(max_new_tokens=8)


def asked(orders: Any, **changes: Any) -> dict[str, Any]:
    made = {
        "model": orders()["model"],
        "adapter": None,
        "device": "cpu",
        "conversations": [[{"role": "user", "content": words}] for words in WORDS],
        "where": WORDS,
        "batch": 1,
        "lines": None,
    }
    return made | ASKED.lower() | changes


@pytest.fixture(scope="module")
def alone(orders: Any) -> list[str]:
    """Each prompt answered by itself."""
    return list(generate(asked(orders))["texts"])


@pytest.fixture(scope="module")
def chat(orders: Any) -> Iterator[session.Session]:
    with session.opened(asked(orders), ASKED) as opened:
        yield opened


def test_batches_answer_like_single_prompts(orders: Any, alone: list[str]) -> None:
    """At temperature 0 and in float32, prompts of other lengths beside it change no answer, and the order stays."""
    assert len(set(alone)) > 1
    for batch in (2, 3, 8):
        assert generate(asked(orders, batch=batch))["texts"] == alone


def test_the_same_seed_draws_the_same(orders: Any, alone: list[str]) -> None:
    """Drawn answers are those of the seed, and of no other."""
    one, again, other = (generate(asked(orders, temperature=3.0, seed=seed))["texts"] for seed in (1, 1, 2))
    assert one == again
    assert one not in (other, alone)


def test_what_was_killed_goes_on(orders: Any, tmp_path: Path) -> None:
    """Whole batches that are there are not answered again; a torn line, and the rest of its batch, are."""
    lines = tmp_path / "lines"
    words = {"batch": 2, "lines": str(lines), "temperature": 3.0}
    whole = generate(asked(orders, **words))["texts"]
    written = lines.read_bytes().splitlines(keepends=True)
    kept = [json.dumps({"text": "kept", "tokens": 1}).encode() + b"\n"] * 2
    lines.write_bytes(b"".join([*kept, written[2], written[3][:5]]))
    assert generate(asked(orders, **words))["texts"] == ["kept", "kept", *whole[2:]]
    assert lines.read_bytes() == b"".join([*kept, *written[2:]])


def test_a_prompt_without_room_is_named(orders: Any) -> None:
    """Before the model is loaded, by where it stands."""
    long = [{"role": "user", "content": "w1 " * 126}]  # and two marks, of 128 positions
    with pytest.raises(BadInput, match="128 tokens") as bad:
        generate(asked(orders, conversations=[long, long[:1]], where=["in.jsonl:1", "in.jsonl:2"]))
    assert [problem.where for problem in bad.value.problems] == ["in.jsonl:1", "in.jsonl:2"]


def test_a_chat_answers_as_generate_does(chat: session.Session, alone: list[str]) -> None:
    """At temperature 0, whatever was asked before; what is streamed is the answer."""
    for words, answer in zip(WORDS, alone, strict=True):
        heard: list[str] = []
        chat.reset()
        assert chat.say(words, heard.append).text == answer
        assert "".join(heard).strip() == answer
        assert len(heard) > 1


def test_a_chat_remembers(orders: Any, chat: session.Session) -> None:
    """The second answer is the one to the whole conversation."""
    chat.reset()
    for words in WORDS[:2]:
        said = chat.say(words, str)
    conversation = chat.messages[:-1]
    assert [message["role"] for message in conversation] == ["user", "assistant", "user"]
    assert generate(asked(orders, conversations=[conversation], where=["it"]))["texts"] == [said.text]


def test_an_answer_can_be_stopped(chat: session.Session, alone: list[str]) -> None:
    """It ends where it is, and the next question is answered as ever."""
    chat.reset()
    longer = Sampling(max_new_tokens=120)
    before, chat._sampling = chat._sampling, longer
    try:
        whole = chat.say("w41", str)
        chat.reset()
        answer = chat.say("w41", lambda _: chat.stop())
    finally:
        chat._sampling = before
    assert answer.was_stopped
    assert answer.tokens < whole.tokens
    chat.reset()
    assert chat.say(WORDS[0], str).text == alone[0]


def test_a_conversation_that_is_too_long_is_refused(chat: session.Session, alone: list[str]) -> None:
    """And the one before goes on."""
    chat.reset()
    with pytest.raises(BadInput, match="positions"):
        chat.say("w1 " * 130, str)
    assert chat.say(WORDS[0], str).text == alone[0]
