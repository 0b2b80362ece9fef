"""What families with a wavefront share: the context that a pixel sees, and the order of time steps."""
