"""Models that see: the rehearsal against the real step."""

from __future__ import annotations

import pytest
from recipes import merged, rehearsed
from test_rehearsal import check_expansion, curve, real_step
from vision import FAMILIES, FROZEN, seeing, some_of

from finefit.lower.layers import layers_of, told
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model
from finefit.tape.expand import expand
from finefit.tape.layers import few_of, kept_of
from finefit.tape.peaks import phase_peaks

pytestmark = pytest.mark.wide(4)

WAYS = {
    "adapters in language model and tower": {},
    "checkpointed": {"gradient_checkpointing": "all"},
    "checkpointed, tower kept": {
        "gradient_checkpointing": "all",
        "tower": {"frozen": False, "checkpointed": False},
    },
    "adapters, tower frozen": {"tower": FROZEN},
    "adapters, tower frozen, checkpointed": {"tower": FROZEN, "gradient_checkpointing": "all"},
    "full": {"peft": None},
    "full, tower frozen, autocast, whole logits": {
        "peft": None,
        "tower": FROZEN,
        "gradient_checkpointing": 1,
        "loss": "full",
        "model": {"dtype": "bfloat16"},
        "trainer": {"bf16": True, "per_device_train_batch_size": 1},
    },
}


@pytest.mark.parametrize(("family", "way"), some_of(WAYS, 3))
def test_a_rehearsal_with_images_equals_the_real_step(family: str, way: str) -> None:
    """With images too, a rehearsal has the very peak of the real step in every phase, and the live bytes after every
    event."""
    order = seeing(family, **WAYS[way])
    fake, real = rehearsed(order), real_step(order)
    assert phase_peaks(fake) == phase_peaks(real)
    assert fake.trainable_parameters == real.trainable_parameters
    assert curve(fake) == curve(real)


EXPANDED = {
    "adapters, checkpointed": {"gradient_checkpointing": "all"},
    "full, tower frozen": {"peft": None, "tower": FROZEN},
}


@pytest.mark.wide(1)
@pytest.mark.parametrize(("family", "way"), some_of(EXPANDED, 2))
def test_a_few_layers_of_language_stand_for_many_beside_the_whole_tower(family: str, way: str) -> None:
    """On a GPU, a recording of a few layers of the language model with the whole tower, expanded to 9, is the recording
    of 9: every birth and death, in order, to the byte."""
    changes = EXPANDED[way]
    text = {"text_config": {"num_hidden_layers": 9}}
    order = merged(seeing(family, device="cuda", **changes), {"model": {"config": text}})
    knobs = Knobs(max_length=64, gradient_checkpointing=changes.get("gradient_checkpointing", 0))
    layers = layers_of(Model(family, order["model"]["config"]), knobs)
    few = few_of(layers)
    recordings = [rehearsed(order, each) for each in told(layers, few)]
    check_expansion(rehearsed(order), expand(recordings, [kept_of(layers, kept) for kept in few], layers))


@pytest.mark.wide(1)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_tower_has_no_adapters_and_no_gradients(family: str) -> None:
    """PEFT's `all-linear` reaches the tower; frozen, nothing of it is trained, with adapters or without."""
    trained = {}
    for way, tower in (("trained", {"frozen": False, "checkpointed": None}), ("frozen", FROZEN)):
        for method in ("lora", "full"):
            order = seeing(family, tower=tower)
            recording = rehearsed(order if method == "lora" else order | {"peft": None})
            seen = {name[2] for name in recording.kind_names if name[0] == "adapter"}
            trained[way, method] = recording.trainable_parameters
            if method == "lora":
                assert any(".vision" in name or ".visual" in name for name in seen) == (way == "trained")
    assert trained["frozen", "lora"] < trained["trained", "lora"]
    assert trained["frozen", "full"] < trained["trained", "full"]
