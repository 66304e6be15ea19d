"""One file for each way in which a library is bent: what, why, the upstream issue or version that ends it."""
