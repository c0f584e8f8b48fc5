"""Parametric heads."""
