"""Architectures, as modules of PyTorch."""
