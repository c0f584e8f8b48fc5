"""A camera between and during takes: supervision, exposure, recovery, live view."""
