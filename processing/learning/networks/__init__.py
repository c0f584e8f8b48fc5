"""Networks of the literature, written from their papers."""
