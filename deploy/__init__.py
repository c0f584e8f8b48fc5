"""Putting the roles onto machines."""
