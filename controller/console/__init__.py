"""The page: what it shows (`state`), how that comes (`stream`), what it is made of (`pages`, `static`)."""
