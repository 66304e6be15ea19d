"""Trains the tokenizer of the example base: byte-level BPE over the standard library's own documentation.

    python examples/stdlib/train_tokenizer.py

Run it after build_data.py: what could give a held-out answer away is left out of the text. The same Python
and `tokenizers` versions give the same bytes. The files go to examples/base/.
"""

from __future__ import annotations

import json

from corpus import HERE, documents
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

BASE = HERE.parent / "base"
VOCABULARY = 4096
PAD, END = "<|pad|>", "<|end|>"

# Every message is a heading with its text below. An assistant's text and the <|end|> after it are what
# training on answers alone counts; a message never changes how those before it are written.
CHAT_TEMPLATE = """\
{%- set headings = {'system': 'System', 'user': 'Question', 'assistant': 'Answer', 'tool': 'Tool'} -%}
{%- for message in messages -%}
    {%- if not loop.first -%}
        {{- '\\n\\n' -}}
    {%- endif -%}
    {{- '### ' + headings.get(message['role'], message['role'] | capitalize) + ':\\n' -}}
    {%- set text = (message['content'] or '') | trim -%}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}
            {{- text + '<|end|>' -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- text -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '\\n\\n### Answer:\\n' -}}
{%- endif -%}
"""


def train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(), trainer)
    return tokenizer


def main() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train(),
        pad_token=PAD,
        eos_token=END,
        model_max_length=1024,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(BASE)
    # The class under the name that older versions of transformers know too.
    config_file = BASE / "tokenizer_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(tokenizer)} entries, written to examples/{BASE.name}")


if __name__ == "__main__":
    main()
