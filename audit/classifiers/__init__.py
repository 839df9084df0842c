"""Instruments that label what a viewer would perceive in an image."""
