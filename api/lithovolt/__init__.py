"""Lithovolt family: paths under /api with a slash at the end, in the manner of Django REST Framework."""
