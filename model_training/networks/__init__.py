"""The trainer and the projection network, and the losses between them."""
