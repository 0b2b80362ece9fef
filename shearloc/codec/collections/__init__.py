"""Collections: folders of many images, any of which can be read by itself. docs/FORMAT.md ("Collections").

Shards hold the images, each readable without the others; an index over them is searched by seeking and can be rebuilt
from the shards.
"""
