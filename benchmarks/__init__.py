"""Speed as ratios against named peers, and long simulations. Not part of the package."""
