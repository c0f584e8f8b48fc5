"""Consents: their rules, what they allow, withdrawal."""
