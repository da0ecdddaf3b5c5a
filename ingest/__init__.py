"""Shells that hold sockets: they stamp, decode, publish, and only then acknowledge."""
