"""Where a model is, and whether it can be trained."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.world import hub
from finefit.world.models import find_model

CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "_cached", lambda repo, name: None)


def safetensors(nbytes: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(nbytes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that can be trained."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(safetensors(64))
    return tmp_path


def problems(text: Path | str, **how: Any) -> str:
    with pytest.raises(BadInput) as caught:
        find_model(str(text), **how)
    return str(caught.value)


def test_a_folder_and_its_config_are_the_same_facts(folder: Path) -> None:
    """Only the folder can be trained: a config.json alone has no weights."""
    model, config = find_model(str(folder), for_training=True), find_model(str(folder / "config.json"))
    assert model.config == config.config == CONFIG
    assert (model.folder, config.folder) == (str(folder), None)
    assert model.layers == 2


def test_bundled_names_need_no_network() -> None:
    """Hub ids of bundled models work offline."""
    assert find_model("QWEN/qwen2.5-0.5b").id == "Qwen/Qwen2.5-0.5B"


def test_a_local_folder_wins_over_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies here is what is meant."""
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    assert find_model("gpt2").config["model_type"] == "llama"


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (b"\xff\xfe", "not JSON"),
        ('{"num_hidden_layers": 2}', "no `model_type`"),
        ('{"model_type": 3, "num_hidden_layers": 2}', "no `model_type`"),
        ('{"model_type": "llama"}', "no number of layers"),
        ('{"model_type": "llama", "num_hidden_layers": 0}', "no number of layers"),
        ('{"model_type": "llama", "text_config": "x", "num_hidden_layers": 2}', "no number of layers"),
        ('{"peft_type": "LORA", "base_model_name_or_path": "gpt2"}', "an adapter, not a model"),
    ],
)
def test_a_configuration_that_says_too_little_is_refused(tmp_path: Path, config: str | bytes, fragment: str) -> None:
    """What no architecture can be built from is named with its file."""
    (tmp_path / "config.json").write_bytes(config if isinstance(config, bytes) else config.encode())
    text = problems(tmp_path)
    assert fragment in text
    assert "config.json" in text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_has_fp16_weight": True}, "bitsandbytes"),
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize("place", ["", "text_config"])
def test_other_quantised_weights_are_refused_by_name(
    tmp_path: Path, said: dict[str, Any], name: str, place: str
) -> None:
    """One message says what they are and what would do."""
    packed: dict[str, Any] = {"quantization_config": said}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | ({place: CONFIG | packed} if place else packed)))
    text = problems(tmp_path)
    assert f"cannot train beside: {name}" in text
    assert "load_in_4bit" in text


@pytest.mark.parametrize(
    "said",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"},
        {"load_in_8bit": True},
    ],
)
def test_bitsandbytes_own_are_found(tmp_path: Path, said: dict[str, Any]) -> None:
    """Old ones name no method."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": said}))
    assert find_model(str(tmp_path)).config["quantization_config"] == said


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("./nowhere", "there is no './nowhere'"),
        ("nowhere/config.json", "there is no 'nowhere/config.json'"),
        ("a b", "is no model"),
        ("a/b/c", "is no model"),
        ("", "is no model"),
        ("meta-llama/Llama-3.2-3", "did you mean meta-llama/Llama-3.2-3B"),
        ("lama-3.2-3b", "did you mean meta-llama/Llama-3.2-3B"),
        ("nobody/nothing-like-it", "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_is_no_model_is_refused_with_the_near_names(text: str, fragment: str) -> None:
    """Nothing is downloaded for a guess, and the message says where to go on."""
    assert fragment in problems(text)


def test_without_a_network_the_hub_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead connection is one sentence, without retries."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "")
    assert "127.0.0.1 says nothing" in problems("nobody/nothing")


def test_code_from_the_hub_needs_a_folder() -> None:
    """Code runs only from where it can be read before."""
    assert "--local-dir" in problems("nobody/nothing", trust_remote_code=True)


def test_pickles_are_refused_with_the_reason(folder: Path) -> None:
    """No pickle from outside a run folder is ever loaded."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    text = problems(folder, for_training=True)
    assert "pickles" in text
    assert "runs whatever code is in it" in text


def test_all_that_a_folder_lacks_is_said_at_once(folder: Path) -> None:
    """Weights and tokenizer are missed together."""
    (folder / "model.safetensors").unlink()
    (folder / "tokenizer.json").unlink()
    text = problems(folder, for_training=True)
    assert "no *.safetensors" in text
    assert "no tokenizer.json" in text


def test_a_missing_shard_is_named(folder: Path) -> None:
    """The index says which files make the whole."""
    weight_map = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert "model-2.safetensors is missing" in problems(folder, for_training=True)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", safetensors(64)[:-1], safetensors(64)[:30]]
)
def test_torn_weights_are_named(folder: Path, content: bytes) -> None:
    """Half a download is seen by its header, before anything is loaded."""
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors: " in problems(folder, for_training=True)


def test_weights_that_are_not_here_are_not_downloaded() -> None:
    """A bundled configuration is no weights; the message says how to get them."""
    assert "hf download openai-community/gpt2" in problems("gpt2", for_training=True)
