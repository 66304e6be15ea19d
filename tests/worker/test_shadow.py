"""Values that a rehearsal knows beside its fake tensors."""

from __future__ import annotations

import torch

from finefit.worker.fakes import Fakes
from finefit.worker.shadow import ANSWER, ControlFlow, shadow_of, with_shadow


def test_what_the_unknown_is_written_into_is_known_no_more() -> None:
    """A sum of known numbers is known; with one that is not, the sum is not, nor what is made of it."""
    real = torch.tensor([3.0, 4.0, 5.0])
    with Fakes() as mode, ControlFlow(mode):
        known, unknown = with_shadow(real, mode), torch.empty(3)
        total = torch.zeros(3).add_(known)
        assert total[1].item() == 4
        assert total.add_(unknown) is total
        assert shadow_of(total) is None
        assert shadow_of(total * 2) is None
        assert total[1].item() == ANSWER[True]
