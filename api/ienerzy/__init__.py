"""Ienerzy family, under /api."""
