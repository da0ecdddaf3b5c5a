"""The HTTP API: thin routers, one folder an API family."""
