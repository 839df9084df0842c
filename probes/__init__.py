"""What is asked of a model, and the images that come back."""
