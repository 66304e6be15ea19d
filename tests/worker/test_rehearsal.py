"""The rehearsal against the real step: same code, real tensors, the same recorder."""

from __future__ import annotations

import contextlib
import io
import tempfile
from itertools import accumulate, groupby
from typing import Any

import pytest
import torch
from recipes import SMALL, TWICE, merged, orders, rehearsed
from trl import SFTConfig

from finefit.lower.layers import told
from finefit.nouns.recording import Recording
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.layers import few_of, kept_of
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.worker import rehearse, rehearsed_rows
from finefit.worker.bends.empty_dora import dora_of_empty_weights
from finefit.worker.build import add_adapter, checkpoint_blocks, load_model, model_class, read_config, tower_of
from finefit.worker.images import collator_of
from finefit.worker.recorder import Recorder
from finefit.worker.rules import answered, bitsandbytes
from finefit.worker.shown import shows
from finefit.worker.stage import RecordedStage
from finefit.worker.trainer import Trainer
from finefit.worker.written import recording_json

pytestmark = pytest.mark.wide(5)

GPT2 = {"n_embd": 64, "n_head": 4, "n_positions": 256, "vocab_size": 512}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 16}


def real_step(order: dict[str, Any]) -> Recording:
    """The same trainer on real tensors, its first two optimizer steps recorded."""
    config = read_config(order["model"])
    torch.manual_seed(0)
    dtype = getattr(torch, order["model"]["dtype"])
    random = model_class(config).from_config(
        config, dtype=dtype, attn_implementation=order["model"]["attn_implementation"]
    )
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        if order["model"]["quantization"]:
            random.save_pretrained(folder)
            random = load_model(order["model"] | {"folder": folder})
        model = add_adapter(random, order["peft"], tower_of(order))
        trainer = Trainer(
            model=model,
            args=SFTConfig(output_dir=folder, **rehearse._arguments(order)),
            train_dataset=rehearsed_rows.dataset(order, rehearsed_rows.tokenizer_for(order)),
            processing_class=rehearsed_rows.tokenizer_for(order),
            data_collator=collator_of(order),
            stage=RecordedStage(recorder),
            loss=order["loss"],
            in_order=shows(order),
        )
        checkpoint_blocks(model, order["gradient_checkpointing"], order["peft"] is not None, tower_of(order))
        trainer.train()
    return Recording.from_json(recording_json(recorder, model))


SINGLE = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": False,
    "bnb_4bit_compute_dtype": "bfloat16",
}
NF4 = {"dtype": "bfloat16", "quantization": SINGLE | {"bnb_4bit_use_double_quant": True}}

DORA: dict[str, Any] = {"use_dora": True}

RECIPES = {
    "lora": orders(**TWICE),
    "lora, all layers checkpointed": orders(gradient_checkpointing="all"),
    "lora, first layer checkpointed": orders(gradient_checkpointing=1),
    "lora, dropout, whole logits": orders(peft={"lora_dropout": 0.1}, loss="full"),
    "lora, eager attention": orders(model={"attn_implementation": "eager"}),
    "lora, autocast": orders(
        model={"dtype": "bfloat16"}, trainer={"bf16": True}, loss="full", gradient_checkpointing="all"
    ),
    "one row": orders(trainer={"per_device_train_batch_size": 1}),
    "4 bits": orders(model=NF4),
    "4 bits, checkpointed": orders(model=merged(NF4, {"quantization": SINGLE}), gradient_checkpointing="all"),
    "4 bits, autocast, whole logits": orders(model=NF4, trainer={"bf16": True}, loss="full"),
    "8 bits": orders(model={"dtype": "bfloat16", "quantization": {"load_in_8bit": True}}),
    "dora": orders(peft=DORA),
    "dora, checkpointed, dropout": orders(peft=DORA | {"lora_dropout": 0.1}, gradient_checkpointing="all"),
    "dora, autocast": orders(model={"dtype": "bfloat16"}, peft=DORA, trainer={"bf16": True}),
    "dora, gpt2": orders("gpt2", model={"config": GPT2}, peft=DORA | {"target_modules": ["c_attn"]}),
    "dora, 4 bits": orders(model=NF4, peft=DORA),
    "dora, 4 bits, checkpointed": orders(
        model=merged(NF4, {"quantization": SINGLE}), peft=DORA, gradient_checkpointing="all"
    ),
    "dora, 4 bits, dropout, autocast": orders(model=NF4, peft=DORA | {"lora_dropout": 0.1}, trainer={"bf16": True}),
    "full": orders(peft=None, **TWICE),
    "full, fused optimizer, checkpointed": orders(
        peft=None, gradient_checkpointing="all", trainer={"optim": "adamw_torch_fused"}
    ),
    "full, bfloat16": orders(peft=None, model={"dtype": "bfloat16"}, loss="full"),
    "full, adafactor": orders(peft=None, trainer={"optim": "adafactor"}),
    "full, 8-bit optimizer": orders(peft=None, trainer={"optim": "adamw_bnb_8bit"}),
    "gpt2": orders("gpt2", model={"config": GPT2}, peft={"target_modules": ["c_attn"]}),
    "sliding window": orders("mistral", model={"config": {"sliding_window": 32}}),
    "two kinds of layer": orders("gemma3_text", model={"config": {"head_dim": 16, "sliding_window": 32}}),
    "experts": orders("qwen3_moe", model={"config": MOE}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_rehearsal_equals_the_real_step_to_the_byte(name: str) -> None:
    """A rehearsal on fake tensors has the very peak, in every phase, of the real step on the processor, and the live
    bytes after every event."""
    fake, real = rehearsed(RECIPES[name]), real_step(RECIPES[name])
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real)


def curve(recording: Recording) -> list[int]:
    """Live bytes after every event, the larger of deaths without a birth between them first.

    Single numbers are left out by which the Trainer asks whether the loss is one (`logging_nan_inf_filter`): that of a
    rehearsal is not.
    """
    asked = {(4, "aten.div.Tensor"), (1, "aten.isinf.default")}
    single = {
        number
        for number, (kind, nbytes) in enumerate(zip(recording.kinds, recording.nbytes, strict=True), 1)
        if (nbytes, recording.kind_names[kind][3]) in asked
    }
    changes = [
        recording.nbytes[event - 1] if event > 0 else -recording.nbytes[-event - 1]
        for event in recording.events
        if abs(event) not in single
    ]
    runs = (list(run) for _, run in groupby(changes, key=lambda change: change < 0))
    return list(accumulate(change for run in runs for change in (sorted(run) if run[0] < 0 else run)))


@pytest.mark.parametrize("checkpointed", [0, "all"])
def test_8_bits_are_multiplied_as_a_gpu_multiplies(checkpointed: Any) -> None:
    """Where the real step on the processor takes the GPU's product too, whose weights are whole in backward alone, the
    rehearsal has its peaks and its curve; and another one than with the processor's own product."""
    order = merged(RECIPES["8 bits"], {"gradient_checkpointing": checkpointed})
    plain = curve(rehearsed(order))
    with answered(bitsandbytes.answers()):
        fake, real = rehearsed(order), real_step(order)
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real) != plain


@pytest.mark.parametrize("checkpointed", [0, "all"])
def test_dora_beside_8_bits_is_as_on_a_gpu(checkpointed: Any) -> None:
    """Where the real step takes the GPU's product, and DoRA leaves the weight where it is, as it does there, the
    rehearsal has its peaks and its curve."""
    order = merged(RECIPES["8 bits"], {"gradient_checkpointing": checkpointed, "peft": DORA})
    with answered(bitsandbytes.answers()), dora_of_empty_weights():
        fake, real = rehearsed(order), real_step(order)
    assert phase_peaks(fake) == phase_peaks(real)
    assert curve(fake) == curve(real)


GPU = {
    "lora": orders(device="cuda", gradient_checkpointing="all", **TWICE),
    "lora, nothing checkpointed": orders(device="cuda"),
    "lora, whole logits": orders(device="cuda", loss="full", trainer={"bf16": True}, model={"dtype": "bfloat16"}),
    "full, multi-tensor optimizer": orders(device="cuda", peft=None, gradient_checkpointing="all"),
    "full, eager": orders(device="cuda", peft=None, model={"attn_implementation": "eager", "dtype": "bfloat16"}),
    "4 bits": orders(device="cuda", model=NF4, gradient_checkpointing="all"),
    "dora": orders(device="cuda", peft=DORA, trainer={"bf16": True}, model={"dtype": "bfloat16"}),
    "dora, 4 bits": orders(device="cuda", peft=DORA, model=NF4, gradient_checkpointing="all"),
    "gpt2": orders("gpt2", device="cuda", model={"config": GPT2}, peft={"target_modules": ["c_attn"]}),
}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", GPU)
def test_five_layers_expand_to_many_exactly(name: str) -> None:
    """A recording of 5 layers, expanded to 9, is the recording of 9: every birth and death, in order, to the byte."""
    order = merged(GPU[name], {"model": {"config": {"num_hidden_layers": 9}}})
    checkpointed = order["gradient_checkpointing"] == "all"
    few, more = ([layers, layers * checkpointed] for layers in (5, 6))
    letter = "A" if checkpointed else "a"
    recordings = [rehearsed(order, few), rehearsed(order, more)]
    check_expansion(rehearsed(order), expand(recordings, [5 * letter, 6 * letter], 9 * letter))


@pytest.mark.wide(1)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_checkpointed_and_kept_layers_expand_each_on_their_own(dtype: str) -> None:
    """Five checkpointed layers and five kept ones, expanded to 7 and 8, are the recording of 15 with 7 checkpointed."""
    config = {"dtype": dtype, "config": {"num_hidden_layers": 15}}
    autocast = {"bf16": dtype == "bfloat16"}
    order = orders(device="cuda", gradient_checkpointing=7, model=config, trainer=autocast)
    recordings = [rehearsed(order, few) for few in ([10, 5], [11, 6], [11, 5])]
    recorded = ["AAAAAaaaaa", "AAAAAAaaaaa", "AAAAAaaaaaa"]
    check_expansion(rehearsed(order), expand(recordings, recorded, 7 * "A" + 8 * "a"))


def windows(layers: int, every: int = 3) -> dict[str, Any]:
    """Every third layer sees all of a row, the others a window of it."""
    kinds = ["sliding_attention" if place % every else "full_attention" for place in range(1, layers + 1)]
    return {"head_dim": 16, "sliding_window": 32, "num_hidden_layers": layers, "layer_types": kinds}


KINDS = {
    "windows": (orders("gemma3_text", device="cuda", model={"config": windows(21)}), "aab" * 7),
    "windows, two turns and a half": (
        orders("gemma3_text", device="cuda", peft=None, model={"config": windows(18, every=4)}),
        "aaab" * 4 + "aa",
    ),
    "windows, some checkpointed": (
        orders("gemma3_text", device="cuda", gradient_checkpointing=15, model={"config": windows(30)}),
        "AAB" * 5 + "aab" * 5,
    ),
    "every fourth without positions": (
        orders("smollm3", device="cuda", peft=None, model={"config": {"num_hidden_layers": 20}}),
        "aaab" * 5,
    ),
    "one checkpointed": (
        orders(device="cuda", gradient_checkpointing=1, model={"config": {"num_hidden_layers": 9}}),
        "A" + "a" * 8,
    ),
}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", KINDS)
def test_layers_of_several_kinds_expand_exactly(name: str) -> None:
    """What the model repeats is recorded three times at most; expanded, it is the recording of all layers."""
    order, layers = KINDS[name]
    few = few_of(layers)
    assert few
    recordings = [rehearsed(order, each) for each in told(layers, few)]
    check_expansion(rehearsed(order), expand(recordings, [kept_of(layers, kept) for kept in few], layers))


def test_what_is_not_alike_does_not_expand() -> None:
    """Where the sixth layer is of another kind, the expansion is refused."""
    kinds = ["full_attention"] * 5 + ["sliding_attention"]
    config = {"head_dim": 16, "sliding_window": 32, "num_hidden_layers": 6, "layer_types": kinds}
    order = orders("gemma3_text", device="cuda", model={"config": config})
    assert expand([rehearsed(order, [5, 0]), rehearsed(order, [6, 0])], [5 * "a", 6 * "a"], 9 * "a") is None


def check_expansion(whole: Recording, expanded: Recording | None) -> None:
    assert expanded is not None
    assert storages_and_events(expanded) == storages_and_events(whole)
    assert phase_peaks(expanded, CUDA_BLOCK_BYTES) == phase_peaks(whole, CUDA_BLOCK_BYTES)
    assert expanded.parameters == whole.parameters
    assert expanded.trainable_parameters == whole.trainable_parameters


def test_more_never_takes_less() -> None:
    """A longer batch, a larger one, and fewer checkpointed layers never lower the peak."""

    def peak(**changes: Any) -> int:
        return phase_peaks(rehearsed(orders(device="cuda", **changes)), CUDA_BLOCK_BYTES)["peak"]

    by_length = [peak(rehearsal={"length": length}) for length in (32, 64, 128)]
    by_batch = [peak(trainer={"per_device_train_batch_size": size}) for size in (1, 2, 4)]
    by_checkpoints = [peak(gradient_checkpointing=count, rehearsal={"length": 256}) for count in ("all", 2, 1, 0)]
    for peaks in (by_length, by_batch, by_checkpoints):
        assert peaks == sorted(peaks)


def test_paged_states_are_not_in_the_gpus_memory() -> None:
    """Beside the same optimizer unpaged, a paged one holds less by the large states, on a GPU only."""

    def resident(device: str, optim: str) -> int:
        order = orders(device=device, peft=None, trainer={"optim": optim}, model={"config": {"vocab_size": 4096}})
        return phase_peaks(rehearsed(order))["resident"]

    elements = 4096 * SMALL["hidden_size"]  # embedding and head: alone above 100,000
    states = elements * 2 * 4 + elements * 2 * 1  # the Trainer keeps an embedding's two states in float32
    assert resident("cuda", "adamw_bnb_8bit") - resident("cuda", "paged_adamw_8bit") == states
    assert resident("cpu", "adamw_bnb_8bit") == resident("cpu", "paged_adamw_8bit")


def test_gpu_rules_matter() -> None:
    """On a GPU flash attention keeps no scores and dropout a one-byte mask: less than the processor keeps."""
    eager = orders(device="cuda", model={"attn_implementation": "eager"}, rehearsal={"length": 256})
    flash = orders(device="cuda", model={"dtype": "bfloat16"}, rehearsal={"length": 256})
    assert phase_peaks(rehearsed(flash))["peak"] < phase_peaks(rehearsed(eager))["peak"]
    dropped = orders(peft={"lora_dropout": 0.5}, loss="full")
    on_gpu = merged(dropped, {"device": "cuda"})
    masks = {name for name in rehearsed(on_gpu).kind_names if "native_dropout" in name[3]}
    assert masks
    assert not {name for name in rehearsed(dropped).kind_names if "native_dropout" in name[3]}
