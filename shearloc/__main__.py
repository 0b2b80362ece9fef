"""`python -m shearloc`: the command line, for where the `shearloc` command is not on the path."""

from .cli import main

main()
