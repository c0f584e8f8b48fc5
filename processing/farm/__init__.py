"""Graph, keys and dispatch."""
