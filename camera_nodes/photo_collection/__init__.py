"""Files off a camera: which are unread, whose exposure each is, where it goes, what may be deleted."""
