"""A selection written down as a release: takes, documents, the build, publication."""
