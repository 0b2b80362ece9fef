"""Variational autoencoders with bits-back coding."""
