"""A rig's setting up: its file checked as a whole, and begun from the nodes that answer."""
