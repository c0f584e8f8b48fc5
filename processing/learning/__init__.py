"""Learned networks and what they answer: one photograph to a face, to its displacement maps, to a head."""
