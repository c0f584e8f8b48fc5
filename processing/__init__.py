"""The farm: photographs to release."""
