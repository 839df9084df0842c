"""What a person sees: pages and figures. Computes nothing."""
