"""One camera as the operator sees it: faults, maintenance, recovery, live view, focus."""
