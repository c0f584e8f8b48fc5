"""Commands beside a camera."""
