"""A camera's place on the USB: its port, and the reset of its device."""
