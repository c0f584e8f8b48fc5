"""A photograph to a face of a study's model by a network: one look instead of a fit."""
