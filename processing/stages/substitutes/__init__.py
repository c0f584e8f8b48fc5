"""Stages that take the place of others where a person gives what these would make."""
