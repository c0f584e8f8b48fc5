"""Deletion that is proven: erasures, withdrawn takes, trash, free pages."""
