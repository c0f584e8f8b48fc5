"""The operator's page: what it shows (`state`), how that reaches it (`stream`), and what it is made of (`pages`, `static`)."""
