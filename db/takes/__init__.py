"""Takes after the fire: missing photographs, reviews, decisions, hand-off to the farm."""
