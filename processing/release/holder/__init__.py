"""What a holder of a release does: fetch, verify, read, export."""
