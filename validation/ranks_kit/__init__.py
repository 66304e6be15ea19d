"""Real training on several ranks of one processor, and what one rank's composed step says of it."""
