"""Rows that train nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from finefit.errors import RunFailed
from finefit.worker.longest_first import LongestFirst
from finefit.worker.ranks.blanks import TOKENS, UNTRAINED, BlanksLast, pairs_in, tokens_of, with_blanks
from finefit.worker.ranks.trainer import RankCallback

LENGTHS = st.lists(st.integers(3, 90), min_size=1, max_size=40)
SMALL = st.integers(1, 4)


@given(LENGTHS, SMALL, SMALL, SMALL, st.integers(0, 3))
def test_each_step_has_the_rows_of_one_process(
    lengths: list[int], micro_batch: int, accumulation: int, ranks: int, epoch: int
) -> None:
    """However many ranks share it: the same rows, and each rank as many, with blank ones at the very end."""
    alone = LongestFirst(lengths, micro_batch, accumulation * ranks, 3)
    alone.set_epoch(epoch)
    per_rank = micro_batch * ranks
    shared = BlanksLast(LongestFirst(lengths, micro_batch, accumulation * ranks, 3), -len(lengths) % per_rank)
    shared.set_epoch(epoch)
    order = list(shared)
    assert order[: len(lengths)] == list(alone)
    assert sorted(order) == list(range(len(order)))
    assert len(order) % per_rank == 0


@given(LENGTHS, SMALL, SMALL, SMALL)
def test_the_longest_row_comes_to_the_last_rank_in_its_last_micro_batch(
    lengths: list[int], micro_batch: int, accumulation: int, ranks: int
) -> None:
    """Of the second step, where the run has so many rows."""
    order = list(LongestFirst(lengths, micro_batch, accumulation * ranks, 3))
    batches = [order[start : start + micro_batch] for start in range(0, len(order), micro_batch)]
    place = 2 * accumulation * ranks - 1
    if place < len(batches):
        assert max(lengths) in [lengths[row] for row in batches[place]]
        assert place % ranks == ranks - 1


def test_a_blank_row_has_tokens_and_no_label() -> None:
    """As many as make a multiple, behind the others; none where they do already."""
    rows = Dataset.from_list([{"input_ids": [5, 6, 7], "labels": [5, 6, 7], "seq_lengths": [3]}] * 5)
    more = with_blanks(rows, 4)
    assert len(more) == 8
    assert more[:5] == rows[:]
    assert more[7] == {"input_ids": [5, 6], "labels": [UNTRAINED] * TOKENS, "seq_lengths": [TOKENS]}
    assert with_blanks(rows, 5) is rows


def test_a_blank_pair_has_no_answers() -> None:
    """And its reference says nothing of them; padded, it is known as blank."""
    pair = {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9], "rejected_ids": [4], "ref_chosen_logps": -3.0}
    *_, blank = with_blanks(Dataset.from_list([pair] * 3), 4)
    assert blank == {"prompt_ids": [5, 6], "chosen_ids": [], "rejected_ids": [], "ref_chosen_logps": 0.0}
    mask = torch.tensor([[0, 1, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]])
    batch = {"input_ids": torch.ones(4, 3), "completion_mask": mask}
    assert pairs_in(batch) == 1
    assert tokens_of(batch) == 2 * TOKENS


def test_blank_tokens_are_known_padded_and_flattened() -> None:
    """A row that trains, and one that is longer, are none."""
    labels = [[3, 4, 5], [UNTRAINED] * 3, [UNTRAINED, 4, UNTRAINED], [UNTRAINED] * 3]
    padded = {
        "input_ids": torch.ones(4, 3, dtype=torch.long),
        "labels": torch.tensor(labels),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 1]]),
    }
    assert tokens_of(padded) == TOKENS
    flat = {
        "input_ids": torch.ones(1, 7, dtype=torch.long),
        "labels": torch.tensor([[3, 4, 5, UNTRAINED, UNTRAINED, UNTRAINED, 6]]),
        "position_ids": torch.tensor([[0, 1, 2, 0, 1, 0, 1]]),
    }
    assert tokens_of(flat) == TOKENS


@pytest.mark.parametrize(
    ("engine", "wrapped", "is_right"),
    [
        ("fsdp2", "FSDPLlamaForCausalLM", True),
        ("fsdp2", "DistributedDataParallel", False),
        ("ddp", "DistributedDataParallel", True),
        ("ddp", "LlamaForCausalLM", False),
        ("deepspeed", "DeepSpeedEngine", True),
        ("deepspeed", "PeftModelForCausalLM", False),
    ],
)
def test_a_model_is_wrapped_as_planned_or_not_trained(engine: str, wrapped: str, is_right: bool) -> None:
    """accelerate makes DDP of FSDP2 on processors without a word: no library is believed."""
    began: list[bool] = []
    progress = SimpleNamespace(start=lambda: began.append(True))
    callback = RankCallback(None, progress, None, False, engine=engine, resumed=False)
    callback.trainer = SimpleNamespace(model_wrapped=type(wrapped, (), {})(), eval_dataset=None)
    state = SimpleNamespace(global_step=0, max_steps=4)
    if is_right:
        callback.on_train_begin(None, state, None)
        assert began
        return
    with pytest.raises(RunFailed, match=f"wrapped in {wrapped}, and the plan says"):
        callback.on_train_begin(None, state, None)
    assert not began
