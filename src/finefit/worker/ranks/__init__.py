"""One run in several processes, each a rank: DDP, DeepSpeed's ZeRO, FSDP2."""
