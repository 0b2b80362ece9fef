"""Images and files: pictures, the `.shl` container, archives, collections, and the functions people call."""
