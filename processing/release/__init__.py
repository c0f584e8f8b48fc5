"""Select, export and verify."""
