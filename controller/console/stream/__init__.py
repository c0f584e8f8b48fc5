"""The stream to the page: revisions, merge patches, server-sent events; pictures by their hash."""
