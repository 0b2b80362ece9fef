"""Local autoregressive models: a pixel depends on a few causal neighbours, so many pixels decode at once."""
