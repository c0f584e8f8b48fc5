"""A take from fire to settled: events, progress, completion, recovery after a crash."""
