"""A neutral face and positions of its vertices in other expressions, written as artists' programs read it."""
