"""Releases, recipients, grants and holders in the records."""
