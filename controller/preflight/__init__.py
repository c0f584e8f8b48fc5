"""What is looked at before a session or a fire."""
