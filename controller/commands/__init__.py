"""The studio's command groups."""
