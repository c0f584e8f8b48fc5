"""How Mien keeps itself to itself: texts that command nothing, secrets unsaid, files closed. A leaf; all may use it."""
