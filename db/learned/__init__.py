"""Learned weights in the records: whom they were trained on, and whether they may be used."""
