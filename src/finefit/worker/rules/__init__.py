"""What a GPU does otherwise than the processor on which a rehearsal's fake tensors pretend to live.

One file a rule, each with its source. `of_a_gpu` is entered around a rehearsal for a GPU; a rehearsal for the processor
uses none of them. A rule offers `answers`: (where a function is looked up, its name, what answers instead); an answer
of `NotImplemented` leaves the call to the function itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from ..recorder import Workspace
from . import attention, autocast, bitsandbytes, decoding, dropout, experts, fused_head, kernels, softmax, workspace

Answer = tuple[Any, str, Callable[..., Any]]


@dataclass(frozen=True)
class Card:
    """What the rules ask of a GPU."""

    compute_capability: tuple[int, int]
    attention_kernel: str = "auto"
    # auto: the one torch would take; otherwise flash, efficient or math, as `torch.nn.attention.sdpa_kernel` forces


def workspaces(card: Card) -> list[Workspace]:
    cublas = workspace.CublasWorkspace(card.compute_capability)
    return [cublas, kernels.kernel_workspaces, bitsandbytes.workspace]


@contextmanager
def of_a_gpu(card: Card) -> Iterator[None]:
    """Everything inside behaves as on `card`."""
    answers: list[Answer] = [
        *autocast.answers(),
        *attention.answers(card.compute_capability, card.attention_kernel),
        *bitsandbytes.answers(),
        *decoding.answers(),
        *dropout.answers(),
        *experts.answers(card.compute_capability),
        *softmax.answers(),
    ]
    with fused_head.on_a_gpu(), answered(answers):
        yield


@contextmanager
def answered(answers: Iterable[Answer]) -> Iterator[None]:
    with ExitStack() as patches:
        for home, name, answer in answers:
            patches.enter_context(patch.object(home, name, _asked_first(answer, getattr(home, name))))
        yield


def _asked_first(answer: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        result = answer(*args, **kwargs)
        return function(*args, **kwargs) if result is NotImplemented else result

    return asked
