"""What is known of camera models: the table that ships, a studio's own entries, the page."""
