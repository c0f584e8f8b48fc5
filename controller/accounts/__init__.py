"""Who may do what in the console: sign-in, sessions of browsers, roles, limits, the certificate for other devices."""
