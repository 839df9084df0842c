"""Importers: images that others made."""
