"""How to code it: coders, integer CDFs, wavefront orders, the container and the functions people call."""
