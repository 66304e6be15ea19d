"""Published measurements of several GPUs: what is computed of them, and how it is told."""
