"""Quality of scans and registrations: figures, limits, a verdict (accept, review, redo), and a picture of each."""
