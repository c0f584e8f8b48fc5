"""Photographs from the nodes into the store, each committed once."""
