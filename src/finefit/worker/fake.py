"""Turns an empty model into one of fake tensors: shapes, dtypes and sharing, no memory."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from .quantized import fake_weight, is_quantized


def make_fake(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Replaces every parameter and buffer (on the meta device) by a fake one; tied ones stay tied."""
    made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def fake_of(empty: torch.Tensor) -> torch.Tensor:
        if id(empty) not in made:
            with mode, torch.no_grad():
                fake = torch.empty_strided(empty.size(), empty.stride(), dtype=empty.dtype, device="cpu")
            if isinstance(empty, nn.Parameter):
                fake = nn.Parameter(fake, requires_grad=empty.requires_grad)
            made[id(empty)] = (fake, empty)  # `empty` is kept, so that its id stays its own
        return made[id(empty)][0]

    for module in model.modules():
        if is_quantized(module):
            with mode, torch.no_grad():
                module._parameters["weight"] = fake_weight(module)
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is not None and tensor.device.type == "meta":
                    table[name] = fake_of(tensor)  # type: ignore[assignment]
    # Trainer and Accelerator call `.to(device)`, which cannot swap fake parameters; they are where they should be.
    object.__setattr__(model, "to", lambda *_args, **_kwargs: model)
    return model
