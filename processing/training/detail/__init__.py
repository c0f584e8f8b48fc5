"""Learning displacement maps: a study in maps, what is the same in everybody, the training task."""
