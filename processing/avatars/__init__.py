"""A photograph to a rigged head with texture that other programs play."""
