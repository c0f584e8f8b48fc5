"""The farm as people see it: progress, status, figures, report."""
