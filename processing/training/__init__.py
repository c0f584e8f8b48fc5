"""Networks trained from a study: data of a release, steps, checkpoints, run cards."""
