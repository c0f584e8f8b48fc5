"""The fit of a face model to photographs: its unknowns, its landmarks, its equations."""
