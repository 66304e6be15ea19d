"""What packing means beside the other keys. Each rule is one function.

What TRL does was read and tried with TRL 1.16.
"""

from __future__ import annotations

from collections.abc import Iterator

from finefit.errors import Problem

from .given import Given


def rows_of_text_are_packed(given: Given) -> Iterator[Problem]:
    if not given.job.packing or given.wrong & {"packing", "task"}:
        return
    where = given.where("packing")
    if given.job.task == "dpo":
        why = "TRL packs no preferences"
        yield Problem("packing does not go with task dpo", where, why, "task sft, or leave it out")
    elif given.job.image_size is not None:
        why = "TRL packs no rows that show images"
        yield Problem("packing does not go with images", where, why, "leave it out")


def packed_rows_have_a_mask(given: Given) -> Iterator[Problem]:
    if given.job.packing and given.has("packing") and given.job.attn_implementation == "flash_attention_2":
        why = "what the flash-attention package takes for rows that share a sequence is not modelled"
        where = given.where("attn_implementation")
        yield Problem("packing does not go with flash_attention_2 yet", where, why, "sdpa, which has a mask")


RULES = (rows_of_text_are_packed, packed_rows_have_a_mask)
