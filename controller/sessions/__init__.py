"""A subject in the chair: state of the session, its store, decisions, hand-off to the farm."""
