"""How a release describes itself: Croissant, DataCite, data card, responsible AI."""
