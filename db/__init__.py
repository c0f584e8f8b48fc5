"""The records: models, migrations, store and queries."""
