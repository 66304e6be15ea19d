"""How long a step takes: from what its recording computes and moves, to seconds."""
