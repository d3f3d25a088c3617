"""What computes the networks: PyTorch itself, or another runtime on a graph that was exported from it."""
