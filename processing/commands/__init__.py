"""Commands of processing."""
