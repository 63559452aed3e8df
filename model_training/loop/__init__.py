"""The training loop: an epoch of both networks."""
