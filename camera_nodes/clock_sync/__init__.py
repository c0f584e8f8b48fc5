"""The studio's time beside a camera: pings, bounds of offset and drift, the system's own clock."""
