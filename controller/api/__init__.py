"""The studio over HTTP: routes, authentication, limits of connections, the server."""
