"""Jobs on files: what the commands do to image files and collections. No arguments, no printing: those are `cli/`'s."""
