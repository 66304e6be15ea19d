"""What does not change in a standalone script, from job to job."""

from __future__ import annotations

LONGEST_FIRST = '''
class LongestFirst(Sampler):
    """A seeded random order, but the longest rows come in the last micro-batch of the first two steps: what does not
    fit shows itself in the first minute."""

    def __init__(self, lengths, args):
        self.lengths, self.seed, self.epoch = lengths, args.seed, 0
        micro_batch = args.per_device_train_batch_size * args.world_size
        self.per_step = micro_batch * args.gradient_accumulation_steps
        self.last = self.per_step - micro_batch

    def __len__(self):
        return len(self.lengths)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.epoch == 0:
            places = [place for place in (self.per_step + self.last, self.last) if place < len(order)]
            for place, row in zip(places, sorted(order, key=lambda row: -self.lengths[row])):
                other = order.index(row)
                order[place], order[other] = order[other], order[place]
        return iter(order)


class Planned(SFTTrainer):
    def _get_train_sampler(self, train_dataset=None):
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LongestFirst([len(ids) for ids in rows["input_ids"]], self.args)
'''

FULLEST_TOGETHER = (
    (
        "        self.last = self.per_step - micro_batch\n",
        "        self.last, self.together = self.per_step - micro_batch, micro_batch\n",
    ),
    (
        "            places = [place for place in (self.per_step + self.last, self.last) if place < len(order)]\n",
        "            firsts = (self.per_step + self.last, self.last)\n"
        "            whole = [first for first in firsts if first + self.together <= len(order)]\n"
        "            places = [place for first in whole for place in range(first, first + self.together)]\n",
    ),
    ('[len(ids) for ids in rows["input_ids"]]', "fullness(rows, self.args.per_device_train_batch_size)"),
)
"""What is other in the order of sequences that rows share: what is said, and what takes its place."""

FULLNESS = '''
def fullness(rows, micro_batch):
    """Tokens of each sequence, then documents; of those that come one by one, a single document's has no mask."""
    tokens, documents = [len(ids) for ids in rows["input_ids"]], [len(each) for each in rows["seq_lengths"]]
    behind = max(tokens) + 1 if micro_batch == 1 else 0
    weights = (length - (behind if count == 1 else 0) for length, count in zip(tokens, documents))
    return [weight * (sum(documents) + 1) + count for weight, count in zip(weights, documents)]
'''


def packed_first() -> str:
    text = LONGEST_FIRST
    for said, instead in FULLEST_TOGETHER:
        assert text.count(said) == 1, said
        text = text.replace(said, instead)
    return FULLNESS + "\n" + text


WHOLE_LOSS = '''
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """In training the model's own loss, in the place of TRL's fused head."""
        if return_outputs or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = inputs | {"use_cache": False}
        return HuggingFaceTrainer.compute_loss(self, model, inputs, num_items_in_batch=num_items_in_batch)
'''

CHECKPOINT = '''
def checkpoint_first(model, count):
    """Recomputes the first `count` layers in backward (None: all), and keeps what the others computed."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    base.gradient_checkpointing_enable({"use_reentrant": False})
    if isinstance(model, PeftModel):
        model.enable_input_require_grads()
    decoder = base.get_decoder() or base
    layers = [module for module in decoder.modules() if isinstance(module, GradientCheckpointingLayer)]
    for place, layer in enumerate(layers):
        layer.gradient_checkpointing = count is None or place < count
'''

SAME_AFTER_THE_REFERENCE = '''
@contextmanager
def same_after(model, _words=None):
    """TRL turns checkpointing off for the reference, and then on for every layer, and ZeRO 3 forgets for how many
    gradients a module waits before its weights go: here each is what it was."""
    checkpointed = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    waits = {m: vars(m)["ds_grads_remaining"] for m in model.modules() if "ds_grads_remaining" in vars(m)}
    for module in checkpointed:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for module in checkpointed:
            module.gradient_checkpointing = True
        for module, count in waits.items():
            module.ds_grads_remaining = count


dpo_trainer.disable_gradient_checkpointing = same_after
'''
