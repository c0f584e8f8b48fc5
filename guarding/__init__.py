"""How Mien keeps itself to itself: texts without commands in them, secrets unsaid, files closed. A leaf; all may use it."""
