"""The bilinear model: the rigs of a study factored into identity and expression, and its textures into colours."""
