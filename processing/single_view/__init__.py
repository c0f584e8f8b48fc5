"""One photograph, or several of one person, to a face of a study's model."""
