"""A second look at every take: sharpness, light, faces, eyes and expression, each with its reason in words."""
