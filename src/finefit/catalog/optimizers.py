"""What optimizers keep for a flat float32 tensor, as engines hand it to them, and what their step takes.

torch 2.13         optim/adamw.py, sgd.py, adagrad.py, rmsprop.py: one tensor like the parameter for each state
transformers 5.23  trainer_optimizer.py: which class a name stands for; optimization.py: Adafactor
bitsandbytes 0.50  optim/optimizer.py: Optimizer2State.init_state: states of less than 4,096 elements stay float32,
                   others have a byte an element, a float32 for each 256 of them, and a table of 256 values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SMALLEST_QUANTISED = 4096
BLOCK = TABLE = 256
FLOAT = 4


@dataclass(frozen=True)
class Optimizer:
    states: int
    # tensors as long as the parameter
    bits: int = 32
    temporaries: int = 0
    # float32 tensors as long as the parameter, alive together while it steps
    is_paged: bool = False
    # states are in memory that the driver moves: none of it is allocated on the GPU


OPTIMIZERS: Mapping[str, Optimizer] = {
    "adamw_torch_fused": Optimizer(2),
    "adamw_torch": Optimizer(2, temporaries=1),
    "sgd": Optimizer(0),
    "adagrad": Optimizer(1, temporaries=2),
    "rmsprop": Optimizer(1, temporaries=1),
    "adafactor": Optimizer(1, temporaries=2),
    "adamw_bnb_8bit": Optimizer(2, bits=8),
    "adamw_8bit": Optimizer(2, bits=8),
    "lion_32bit": Optimizer(1),
    "lion_8bit": Optimizer(1, bits=8),
    "paged_adamw": Optimizer(2, is_paged=True),
    "paged_adamw_32bit": Optimizer(2, is_paged=True),
    "paged_adamw_8bit": Optimizer(2, bits=8, is_paged=True),
    "paged_lion_32bit": Optimizer(1, is_paged=True),
    "paged_lion_8bit": Optimizer(1, bits=8, is_paged=True),
}
"""Of a flat tensor Adafactor factors nothing, since it has one dimension."""


def state_bytes(optimizer: Optimizer, elements: int) -> tuple[int, ...]:
    """The tensors of a flat float32 parameter."""
    if optimizer.bits == 8 and elements >= SMALLEST_QUANTISED:
        return (elements, FLOAT * -(-elements // BLOCK), FLOAT * TABLE) * optimizer.states
    return (FLOAT * elements,) * optimizer.states
