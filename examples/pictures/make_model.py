"""Makes a tiny Qwen2-VL with random weights, which sees next to nothing and learns in seconds:
`python examples/pictures/make_model.py [FOLDER]`.

Its tokenizer knows single bytes and what marks messages and images; its processor makes at most 16 tokens of an image.
The chat template is that of Qwen2-VL, as short as it can be.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|image_pad|>", "<|video_pad|>"]
TEMPLATE = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\\n' -}}
    {%- set said = message['content'] -%}
    {%- set parts = [{'type': 'text', 'text': said}] if said is string else said -%}
    {%- set text -%}
        {%- for part in parts -%}
            {{- '<|vision_start|><|image_pad|><|vision_end|>' if part['type'] == 'image' else part['text'] -}}
        {%- endfor -%}
    {%- endset -%}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}{{- text + '<|im_end|>' -}}{%- endgeneration -%}
    {%- else -%}
        {{- text + '<|im_end|>' -}}
    {%- endif -%}
    {{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
SIDE, PATCHES = 28, 16
"""Pixels of a piece of an image that becomes a token, and how many of them an image has at most."""


def tokenizer() -> PreTrainedTokenizerFast:
    letters = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    known = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    known.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=known, pad_token=SPECIAL[0], eos_token=SPECIAL[2])
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.chat_template = TEMPLATE
    return made


def config(words: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    number = words.convert_tokens_to_ids
    text = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": SIDE // 2}
    return Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        tie_word_embeddings=True,
    )


def main(folder: Path) -> None:
    words = tokenizer()
    torch.manual_seed(0)
    Qwen2VLForConditionalGeneration(config(words)).to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)
    limits = {"shortest_edge": 4 * SIDE**2, "longest_edge": PATCHES * SIDE**2}
    Qwen2VLImageProcessorPil(size=limits).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model")
