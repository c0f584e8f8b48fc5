"""Who may fetch a release: grants, links, the server, what was delivered."""
