"""What a device can do, timed on it: products, moving bytes, starting kernels, links, and its context."""
