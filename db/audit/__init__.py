"""The audit log: a chain, its triggers, its replay, acts that nothing takes back."""
