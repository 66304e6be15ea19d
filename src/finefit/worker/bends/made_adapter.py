"""TRL gives a model that comes with an adapter a second one, as its reference: trained ones are trained on.

TRL 1.16, `DPOTrainer.__init__`: only a model whose adapter it makes itself has its reference with adapters off, as a
run has that begins with a new adapter. Ours are made before, the same way in a rehearsal and in a run; so the trainer
is given the base, and its `get_peft_model` answers with what is made.
Ends when the trainer can be told that an adapter is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from peft import PeftModel
from trl.trainer import dpo_trainer


@contextmanager
def made_adapter(model: Any) -> Iterator[dict[str, Any]]:
    """Inside, a trainer that is given what comes out has `model`."""
    if not isinstance(model, PeftModel):
        yield {"model": model}
        return
    with patch.object(dpo_trainer, "get_peft_model", lambda *_args, **_kwargs: model):
        yield {"model": model.get_base_model(), "peft_config": model.peft_config["default"]}
