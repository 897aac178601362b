"""Hyperparameter search for matrix-product-state Born machines."""

__version__ = "0.1.0"

__all__ = ["__version__"]
