"""The mathematics of each metric, on tensors: no files, no networks."""
