"""What the page shows, composed from the studio alone: one JSON value in sections, `null` nowhere."""
