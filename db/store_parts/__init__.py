"""Parts of the store: cache, references, whose store it is."""
