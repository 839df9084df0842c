"""Generators: one module per kind of model."""
