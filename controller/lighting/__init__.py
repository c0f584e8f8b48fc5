"""Lights over sACN, and the scenes that a take asks for."""
