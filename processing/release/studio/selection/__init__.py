"""Who and what may leave: rules, review, the signed file."""
