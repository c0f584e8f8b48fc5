"""A rehearsal: a simulated rig that goes wrong on purpose while somebody works in the console, and a score."""
