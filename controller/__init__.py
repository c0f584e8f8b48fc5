"""The studio: arms, fires, ingests and records."""
