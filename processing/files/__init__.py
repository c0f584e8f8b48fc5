"""File formats of photographs, cameras, meshes, images and maps; each file appears whole or not at all."""
