"""Methods that make the projection network smaller while it is trained."""
