"""Jobs on files: what the commands do to image files and collections. `cli/` parses the arguments and prints."""
