"""Face models in the records: who is in which version, and whether it may be used."""
