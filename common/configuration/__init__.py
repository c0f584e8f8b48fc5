"""Settings read from TOML, and what a misspelling probably meant."""
