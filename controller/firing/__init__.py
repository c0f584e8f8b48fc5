"""When a take is fired: the moment and each camera's lead."""
