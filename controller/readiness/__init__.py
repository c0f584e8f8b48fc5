"""Whether all is well enough to fire: one judgement for the console, `mien rig status` and `mien rig preflight`."""
