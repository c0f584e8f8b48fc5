"""Texture from photographs."""
