"""Light, colour and visibility of a face in one photograph, and what its pixels say of its shape."""
