"""Figures of the running studio for Prometheus: read from its state at each scrape, by camera and never by subject."""
