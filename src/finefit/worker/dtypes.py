"""Types of elements that more than one file asks for."""

from __future__ import annotations

import torch

HALF = (torch.bfloat16, torch.float16)
