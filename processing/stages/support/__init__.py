"""Takes and scans as stages prepare and report them."""
