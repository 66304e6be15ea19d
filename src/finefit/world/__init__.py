"""What is outside the process, read only: model folders, data files, GPUs, run folders."""
