"""libgphoto2 and PTP: the library, a connection with retries, settings, live view."""
