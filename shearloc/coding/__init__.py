"""Push and pop: the rANS stack, the range coder, and distributions as integer CDFs. Knows no network and no file."""

from ..cache import prepare

prepare()
