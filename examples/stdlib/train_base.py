"""Pre-trains the example base: a Llama-architecture model of 5.5 M parameters, on Python's own documentation.

    python examples/stdlib/train_base.py [--epochs 4] [--minutes 20]

Run it after train_tokenizer.py. The text is what corpus.documents() gives, each document ended by
<|end|>, packed into blocks; nothing that answers a held-out question is in it. The learning rate falls
with the epochs or with the minutes, whichever run out first, so a slow machine still ends with a
finished model. Weights are trained in float32 and saved in bfloat16, in examples/base/.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from corpus import HERE, documents, split
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

BASE = HERE.parent / "base"
BLOCK = 256
SEED = 20


def build(tokenizer) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    return model


def tokens_of(texts: list[str], tokenizer) -> torch.Tensor:
    """All documents in a row, each ended by the end token."""
    ids: list[int] = []
    for text in texts:
        ids += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids.append(tokenizer.eos_token_id)
    return torch.tensor(ids)


def blocks(tokens: torch.Tensor, offset: int = 0) -> torch.Tensor:
    """The row cut into blocks, from an offset on; the rest that does not fill a block is dropped."""
    tokens = tokens[offset:]
    return tokens[: len(tokens) // BLOCK * BLOCK].view(-1, BLOCK)


@torch.no_grad()
def loss_on(model: LlamaForCausalLM, rows: torch.Tensor) -> float:
    model.eval()
    losses = [model(input_ids=part, labels=part).loss.item() * len(part) for part in rows.split(8)]
    model.train()
    return sum(losses) / len(rows)


def optimizer_for(model: LlamaForCausalLM, rate: float) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=4, help="blocks in a step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--out", default=str(BASE))
    args = parser.parse_args()

    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    training_texts, heldout_texts = split(documents())
    training, heldout = tokens_of(training_texts, tokenizer), blocks(tokens_of(heldout_texts, tokenizer))
    model = build(tokenizer)
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {len(training)} tokens of text, "
        f"{heldout.numel()} held out"
    )

    steps = args.epochs * (len(blocks(training, BLOCK)) // args.batch)
    optimizer = optimizer_for(model, args.rate)
    generator = torch.Generator().manual_seed(SEED)
    start = time.monotonic()
    step, done, running = 0, 0.0, 0.0
    while done < 1:
        # Each epoch cuts the text at other places and takes the blocks in another order.
        offset = int(torch.randint(BLOCK, (1,), generator=generator))
        epoch = blocks(training, offset)
        for rows in epoch[torch.randperm(len(epoch), generator=generator)].split(args.batch):
            done = max(step / steps, (time.monotonic() - start) / (60 * args.minutes))
            if done >= 1:
                break
            rate = args.rate * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = model(input_ids=rows, labels=rows).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            running = loss.item() if step == 0 else 0.95 * running + 0.05 * loss.item()
            step += 1
            if step % 50 == 0:
                seconds = time.monotonic() - start
                print(f"step {step} of {steps}: loss {running:.3f}, {seconds:.0f} s", flush=True)
            if step % 400 == 0:
                print(f"step {step} of {steps}: held-out loss {loss_on(model, heldout):.3f}", flush=True)

    model = model.to(torch.bfloat16)
    model.save_pretrained(args.out)
    print(
        f"{step} steps, {step * args.batch * BLOCK} tokens, {time.monotonic() - start:.0f} s, "
        f"last loss {running:.3f}, held-out loss as saved {loss_on(model, heldout):.3f}"
    )


if __name__ == "__main__":
    main()
