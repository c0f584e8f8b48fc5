"""The camera side: one process beside each camera."""
