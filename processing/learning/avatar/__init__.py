"""From a photograph's identity features to the shape of a head."""
