"""How a study and a session stand, asked in few queries."""
