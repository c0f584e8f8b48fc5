"""The template that scans are registered to: its making, its files, and the parametric head it is made of."""
