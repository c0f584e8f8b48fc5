"""A second place: backup, its proof, restore."""
