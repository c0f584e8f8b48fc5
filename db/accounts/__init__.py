"""Who may use the console: accounts, their passkeys, sessions of browsers, links that work once."""
