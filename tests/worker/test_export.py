"""One model out of a base and an adapter: the model that was trained, whatever it was trained beside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from finefit.errors import RunFailed
from finefit.worker.build import load_model
from finefit.worker.export import shards
from finefit.worker.export.adapter import Adapter, refuse
from finefit.worker.export.base import Stored
from finefit.worker.export.compare import compare
from finefit.worker.export.run import export
from finefit.worker.quantized import bnb_config
from finefit.worker.saved import load

pytestmark = [pytest.mark.xdist_group("export"), pytest.mark.wide(5)]

NF4 = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "float32",
}
INT8 = {"load_in_8bit": True}
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def tuned(orders: Any, tmp_path: Path) -> Make:
    """Orders to export an adapter that nobody trained, large enough that no mistake with it stays unseen."""

    def make(
        base: Path | None = None, quantization: Any = None, dtype: str = "float32", attention: str = "sdpa", **lora: Any
    ) -> dict[str, Any]:
        made = orders()
        made["model"] |= {"quantization": quantization, "dtype": dtype, "folder": str(base or made["model"]["folder"])}
        made["model"]["attn_implementation"] = attention
        torch.manual_seed(1)
        words = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False} | lora
        model = get_peft_model(load_model(made["model"]), LoraConfig(task_type="CAUSAL_LM", **words))
        model.save_pretrained(tmp_path / "adapter")
        AutoTokenizer.from_pretrained(made["model"]["folder"]).save_pretrained(tmp_path / "adapter")
        (tmp_path / "out").mkdir()
        return made | {
            "adapter": str(tmp_path / "adapter"),
            "folder": str(tmp_path / "out"),
            "dtype": "float32",
            "original_base": False,
            "max_shard_bytes": 10**9,
        }

    return make


def changed_base(model_folder: Path, folder: Path, **config: Any) -> Path:
    """The tiny model with another configuration, or in more files (`shard`)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    size = config.pop("max_shard_size", "1GB")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig.from_pretrained(model_folder, **config)).save_pretrained(folder, max_shard_size=size)
    return folder


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            found |= {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return found


def exported(orders: dict[str, Any]) -> Any:
    return AutoModelForCausalLM.from_pretrained(orders["folder"]).eval()


@pytest.mark.parametrize(
    "lora", [{}, {"use_rslora": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 2}}], ids=str
)
def test_merging_is_pefts_to_the_bit(tuned: Make, lora: dict[str, Any]) -> None:
    """In float32, file by file, every weight is what `merge_and_unload` makes of the whole model."""
    orders = tuned(**lora)
    export(orders)
    whole = PeftModel.from_pretrained(load_model(orders["model"]), orders["adapter"]).merge_and_unload().state_dict()
    ours = weights_in(Path(orders["folder"]))
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[key], whole[key]) for key in whole)


def test_half_precision_is_rounded_once(tuned: Make) -> None:
    """A merged weight in bfloat16 is the float32 sum of what was trained, rounded."""
    orders = tuned(dtype="bfloat16") | {"dtype": "bfloat16"}
    found = export(orders)
    model = load(orders["model"], Path(orders["adapter"]), "cpu").float()
    whole = model.merge_and_unload().state_dict()
    ours = weights_in(Path(orders["folder"]))
    assert all(torch.equal(ours[key], whole[key].bfloat16()) for key in whole)
    assert exported(orders).dtype == torch.bfloat16
    assert found["max_difference"] <= found["tolerance"]


@pytest.mark.parametrize("quantization", [None, NF4, NF4 | {"bnb_4bit_quant_type": "fp4"}], ids=["lora", "nf4", "fp4"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_logits_are_those_that_were_trained(
    tuned: Make, model_folder: Path, tmp_path: Path, quantization: Any, tied: bool
) -> None:
    """To a hundred thousandth of the largest, about 2⁷ of float32's roundings: only the order of sums differs."""
    base = changed_base(model_folder, tmp_path / "base", tie_word_embeddings=tied)
    orders = tuned(base, quantization)
    found = export(orders)
    assert found["merged"] == 14
    assert found["dequantized"] == (14 if quantization else 0)
    ids = torch.arange(4, 44)[None]
    with torch.no_grad():
        then = load(orders["model"], Path(orders["adapter"]), "cpu")(input_ids=ids).logits
        now = exported(orders)(input_ids=ids).logits
    assert (then - now).abs().max() <= 1e-5 * then.abs().max()


def test_the_dequantised_base_is_nearer_to_what_was_trained(tuned: Make) -> None:
    """The original weights are another model; the distance is told, and the merge itself is still held to the bit."""
    orders = tuned(quantization=NF4)
    near = export(orders)
    shutil.rmtree(orders["folder"])
    Path(orders["folder"]).mkdir()
    far = export(orders | {"original_base": True})
    assert far["dequantized"] == 0
    assert far["max_difference"] <= 1e-5
    assert far["from_trained"]["mean_difference"] > 30 * near["mean_difference"]


def test_eight_bits_are_near(tuned: Make) -> None:
    """8-bit layers round what they multiply as well: the merge is exact, and its distance to the trained is told."""
    found = export(tuned(quantization=INT8))
    assert found["dequantized"] == 14
    assert found["max_difference"] <= found["tolerance"] < found["from_trained"]["max_difference"] < 0.01


def test_a_quantised_checkpoint_is_dequantised(tuned: Make, model_folder: Path, tmp_path: Path) -> None:
    """Packed weights and their statistics become one weight each, and config.json says nothing of them any more."""
    packed = tmp_path / "packed"
    shutil.copytree(model_folder, packed)
    plain = tuned(quantization=NF4)
    model = AutoModelForCausalLM.from_pretrained(model_folder, quantization_config=bnb_config(NF4))
    (packed / "model.safetensors").unlink()
    model.save_pretrained(packed)
    orders = plain | {"model": plain["model"] | {"folder": str(packed)}}
    found = export(orders)
    assert found["dequantized"] == 14
    assert weights_in(Path(orders["folder"])).keys() == weights_in(model_folder).keys()
    assert "quantization_config" not in json.loads((Path(orders["folder"]) / "config.json").read_text())


def test_memory_holds_one_file(
    tuned: Make, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a base in many files, and whatever its files are: what is taken at once is one output file."""
    base = changed_base(model_folder, tmp_path / "base", max_shard_size="20KB")
    orders = tuned(base) | {"max_shard_bytes": 20_000}
    held: list[int] = []
    saved = shards.save_file

    def save(tensors: dict[str, torch.Tensor], path: Path, **words: Any) -> None:
        held.append(sum(tensor.nbytes for tensor in tensors.values()))
        saved(tensors, path, **words)

    monkeypatch.setattr(shards, "save_file", save)
    found = export(orders)
    assert found["files"] == len(held) > 3
    assert max(held) <= 20_000
    assert weights_in(Path(orders["folder"])).keys() == weights_in(base).keys()


def test_memory_grows_by_a_file_and_not_by_the_model(
    tuned: Make, model_folder: Path, tmp_path: Path, forker: Any
) -> None:
    """Measured: a process that merges 98 MiB in files of 8 grows by less than half of it (pages that
    the forked process shares are counted as it first touches them)."""
    size = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "max_shard_size": "60MB"}
    base = changed_base(model_folder, tmp_path / "base", **size)
    orders = tuned(base, target_modules=["q_proj", "down_proj"]) | {"max_shard_bytes": 8 << 20}
    (tmp_path / "export.json").write_text(json.dumps(orders))
    assert forker.start("export", tmp_path / "export.json", tmp_path / "out.json").wait() == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["nbytes"] > 97 << 20
    assert 0 < found["grown_bytes"] < found["nbytes"] / 2


def test_full_fine_tuning_is_copied(orders: Any, model_folder: Path, tmp_path: Path) -> None:
    """Nothing is merged: the weights are those that were trained, in the dtype that is asked for."""
    changed_base(model_folder, tmp_path / "adapter", tie_word_embeddings=True)
    asked = {"adapter": str(tmp_path / "adapter"), "folder": str(tmp_path / "out"), "dtype": "bfloat16"}
    (tmp_path / "out").mkdir()
    found = export(orders(peft=None) | asked | {"original_base": False, "max_shard_bytes": 10**9})
    assert (found["merged"], found["dequantized"]) == (0, 0)
    trained, ours = weights_in(tmp_path / "adapter"), weights_in(tmp_path / "out")
    assert "lm_head.weight" not in ours
    assert ours.keys() == trained.keys()
    assert all(torch.equal(ours[key], trained[key].bfloat16()) for key in ours)


def stored(elements: int) -> Stored:
    return Stored(f"w{elements}", f"w{elements}", Path("file"), (elements,), True)


def test_files_are_filled_in_order() -> None:
    """A weight that is larger than a file stands alone."""
    parts = shards.parts_of([stored(4), stored(5), stored(99), stored(1), stored(2)], 2, 20)
    assert [[weight.elements for weight in part] for part in parts] == [[4, 5], [99], [1, 2]]


def test_a_wrong_merge_is_not_called_done(tuned: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delta of the wrong scale is found by the comparison."""
    orders = tuned()
    merged = Adapter.merged
    monkeypatch.setattr(Adapter, "merged", lambda self, name, weight: (merged(self, name, weight) + weight) / 2)
    with pytest.raises(RunFailed, match="not what was trained"):
        export(orders)


def test_another_template_is_not_called_done(tuned: Make) -> None:
    """The rendered rows have to be the same, token by token."""
    orders = tuned()
    export(orders)
    template = Path(orders["folder"]) / "chat_template.jinja"
    template.write_text(template.read_text().replace("<answer>", "<user>"))
    with pytest.raises(RunFailed, match="conversation otherwise"):
        compare(orders, orders["model"], None, Path(orders["folder"]))  # type: ignore[arg-type]


def test_papers_are_complete(tuned: Make) -> None:
    """The tokenizer is copied byte for byte; config.json says the dtype; answers end where finefit ends them."""
    orders = tuned() | {"dtype": "float16"}
    export(orders)
    folder, tokenizer = Path(orders["folder"]), Path(orders["adapter"])
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (tokenizer / name).read_bytes()
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 1
    assert not (folder / "adapter_config.json").exists()


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"bias": "all"}, "bias=all"),
        ({"lora_bias": True}, "lora_bias"),
        ({"peft_type": "LOHA"}, "LOHA"),
    ],
)
def test_what_is_no_weight_is_refused_by_name(config: dict[str, Any], fragment: str) -> None:
    """An adapter that a merged weight cannot hold is never merged in part."""
    with pytest.raises(RunFailed, match=fragment):
        refuse({"peft_type": "LORA", "bias": "none"} | config)


def test_embeddings_are_merged_where_they_are_two(tuned: Make, model_folder: Path, tmp_path: Path) -> None:
    """An adapter on the embeddings is PEFT's business; on one weight with the head it is refused."""
    targets = ["embed_tokens", "q_proj"]
    assert export(tuned(target_modules=targets))["merged"] == 3
    shutil.rmtree(tmp_path / "adapter")
    (tmp_path / "out").rename(tmp_path / "before")
    base = changed_base(model_folder, tmp_path / "base", tie_word_embeddings=True)
    with pytest.raises(RunFailed, match="embed_tokens"):
        export(tuned(base, target_modules=targets))


TINY = {
    "vocab_size": 94,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "eos_token_id": 1,
    "bos_token_id": None,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}


@pytest.mark.parametrize("quantization", [None, NF4], ids=["lora", "nf4"])
@pytest.mark.parametrize(
    ("model_type", "config", "targets"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}, ["c_attn", "c_fc"]),
        ("qwen3_moe", EXPERTS, ["q_proj", "o_proj"]),
        ("gemma2", {"head_dim": 16}, "all-linear"),
        ("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "all-linear"),
    ],
)
def test_other_architectures(
    tuned: Make, model_folder: Path, tmp_path: Path, model_type: str, config: Any, targets: Any, quantization: Any
) -> None:
    """Transposed weights, experts that a checkpoint has one by one, tied embeddings, fused projections: a checkpoint
    of the names that it came in, and the logits that were trained."""
    from transformers import AutoConfig

    base = tmp_path / "base"
    shutil.copytree(model_folder, base)
    (base / "model.safetensors").unlink()
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **TINY | config)).save_pretrained(base)
    attention = "eager" if model_type == "gemma2" else "sdpa"
    orders = tuned(base, quantization, attention=attention, target_modules=targets)
    found = export(orders)
    assert found["merged"] >= 4
    assert (found["dequantized"] > 0) == (quantization is not None)
    assert found["max_difference"] <= 0.1 * found["tolerance"]  # a hundred thousandth of the largest
    assert weights_in(Path(orders["folder"])).keys() == weights_in(base).keys()
