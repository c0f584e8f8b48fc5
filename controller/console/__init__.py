"""The operator's page: what it shows (`state`), how that reaches it (`stream`), what it is made of (`pages`, `static`)."""
