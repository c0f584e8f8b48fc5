"""Every table in one form, and from one database to another."""
