"""The proof kit: a grid of recipes, predicted before and measured on any CUDA card; receipts hold both together."""
