"""Which recipes share a tape."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.errors import BadInput
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.task import DPO
from finefit.rehearsal.recipe import Recipe
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

PLAIN = LoRA()
KNOBS = Knobs(max_length=1024)


def recipe(model: str = "Qwen/Qwen2.5-0.5B", method: Method = PLAIN, gpu: str = "A100-80GB", **knobs: object) -> Recipe:
    return Recipe(find_model(model), method, replace(KNOBS, **knobs), machine_named(gpu))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        recipe(per_device_train_batch_size=7),
        recipe(max_length=77),
        recipe(gradient_accumulation_steps=16),
        recipe(method=LoRA(r=64, alpha=5)),
        recipe(method=LoRA(use_rslora=True)),
        recipe(dtype="float16", mixed_precision="fp16"),
        recipe(attn_implementation="sdpa", gpu="RTX4090"),
        recipe(gpu="H100-80GB"),
        recipe(expandable_segments=True),
        recipe(model="Qwen/Qwen2.5-0.5B-Instruct"),
    ],
    ids=lambda one: "",
)
def test_what_a_tape_answers_by_itself_is_not_in_its_key(other: Recipe) -> None:
    assert other.key == recipe().key


DIFFERENT = {
    "loss": recipe(loss="full"),
    "eager": recipe(attn_implementation="eager"),
    "no flash": recipe(gpu="T4-16GB"),
    "processor": recipe(gpu="cpu"),
    "float32": recipe(dtype="float32"),
    "no autocast": recipe(mixed_precision="no"),
    "none checkpointed": recipe(gradient_checkpointing=0),
    "first ones checkpointed": recipe(gradient_checkpointing=9),
    "modules": recipe(method=LoRA(target_modules=("q_proj",))),
    "dropout": recipe(method=LoRA(dropout=0.1)),
    "dora": recipe(method=LoRA(use_dora=True)),
    "full": recipe(method=Full()),
    "4 bits": recipe(method=QLoRA()),
    "8 bits": recipe(method=QLoRA(8)),
    "one statistic": recipe(method=QLoRA(double_quant=False)),
    "optimizer": recipe(optim="adamw_bnb_8bit"),
    "model": recipe(model="Qwen/Qwen2.5-1.5B"),
    "loop": replace(recipe(), loop=Loop(hold_outputs="step")),
}


def test_what_changes_the_history_is_in_the_key() -> None:
    """All of these are told apart, from one another and from the plain recipe."""
    keys = [one.key for one in DIFFERENT.values()] + [recipe().key]
    assert len(set(keys)) == len(keys)


def test_the_rank_is_in_the_key_of_states_with_thresholds() -> None:
    """bitsandbytes keeps small states as they are, so that an 8-bit tape is of one rank."""
    eight = {recipe(method=LoRA(r=rank), optim="adamw_bnb_8bit").key for rank in (8, 16)}
    assert len(eight) == 2


def test_any_number_of_first_layers_shares_a_tape() -> None:
    """As long as four of each kind are left; fewer are recorded as they are."""
    assert recipe(gradient_checkpointing=4).key == recipe(gradient_checkpointing=20).key
    assert len({recipe(gradient_checkpointing=count).key for count in (1, 2, 3, 4)}) == 4


def seeing(width: int = 640, count: int = 1, **knobs: object) -> Recipe:
    return replace(recipe("Qwen/Qwen2-VL-2B-Instruct", **knobs), images=Images(width, 480, count))


def test_images_are_in_the_key_and_with_them_how_many_rows() -> None:
    """The tower goes through images one by one: each size, each number of them and each micro-batch is a recipe of its
    own; the length is not."""
    keys = [
        recipe("Qwen/Qwen2-VL-2B-Instruct").key,
        *(
            seeing(width, count, per_device_train_batch_size=rows).key
            for width in (320, 640)
            for count in (1, 2)
            for rows in (1, 2)
        ),
        seeing(freeze_vision_tower=True).key,
        seeing(vit_gradient_checkpointing=False).key,
    ]
    assert len(set(keys)) == len(keys)
    assert seeing(max_length=2048).key == seeing().key
    assert seeing(640).key == seeing(644).key  # the processor makes the same of both


def test_a_tower_is_a_tower_with_or_without_images() -> None:
    """Text alone goes by a tower, but its weights and adapters are there; a model that sees nothing has none."""
    assert recipe("Qwen/Qwen2-VL-2B-Instruct", freeze_vision_tower=True).key != recipe("Qwen/Qwen2-VL-2B-Instruct").key
    assert recipe(freeze_vision_tower=True).key == recipe().key


def test_the_towers_own_number_of_layers_is_in_the_key() -> None:
    """Only the language model's layers are free."""

    def of(layers: int, tower: int) -> str:
        config = {"model_type": "llava", "text_config": {"num_hidden_layers": layers, "model_type": "llama"}}
        model = Model("seeing", config | {"vision_config": {"num_hidden_layers": tower}})
        return replace(recipe(), model=model).key

    assert of(20, 24) == of(30, 24) != of(20, 12)


def test_rows_have_room_for_their_images() -> None:
    """Fewer tokens than the images become are bad input, which says how many are enough."""
    assert seeing(max_length=seeing().least_length).key
    with pytest.raises(BadInput, match="at least 392"):
        _ = seeing(max_length=391).key


def test_what_is_compared_with_is_in_the_key() -> None:
    """Each reference is another recipe, and preferences are not rows; two answers are two sequences; a frozen copy in
    4 bits is the same in either half."""
    tasks = [DPO("adapter_off"), DPO("precomputed"), DPO("model"), DPO("model", 4), DPO("model", 8)]
    recipes = [recipe(), *(replace(recipe(), task=task) for task in tasks)]
    assert len({each.key for each in recipes}) == len(recipes)
    assert [each.point.sequences for each in recipes] == [1, 2, 2, 2, 2, 2]
    halves = [recipe(method=Full(), gpu="T4", dtype=dtype, mixed_precision="no") for dtype in ("bfloat16", "float16")]
    assert len({replace(half, task=DPO("model", 4)).key for half in halves}) == 1


def test_a_model_that_sees_nothing_is_shown_nothing() -> None:
    """And is named."""
    with pytest.raises(BadInput, match="sees nothing"):
        _ = replace(recipe(), images=Images(640, 480)).key
