"""Commands that span the rooms."""
