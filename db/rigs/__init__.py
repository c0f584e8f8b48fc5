"""Rigs in the records: cameras set aside, events, qualifications, sync measures."""
