"""Photographs to a texture over the registered mesh's UVs."""

from processing.appearance.texture import Texture, project_texture

__all__ = ["Texture", "project_texture"]
