"""What TRL's trainer of preferences says of answers beside the loss.

Source: TRL 1.16, dpo_trainer.py (`_compute_loss`): how much more likely an answer is than the reference said, times
`beta`: of the `chosen` one and the `rejected` one, the `margins` between them, and `accuracies`, the share of pairs
whose margin is positive.
"""

from __future__ import annotations

from collections.abc import Mapping

BEGINS = "rewards/"


def rewards_of(logs: Mapping[str, float]) -> dict[str, float]:
    """Of TRL's metrics, by their short names; nothing where rows are trained on."""
    return {name.removeprefix(BEGINS): value for name, value in logs.items() if name.startswith(BEGINS)}
