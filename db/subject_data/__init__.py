"""A person's own data: kept apart, exported, rectified, receipts, retention."""
