"""EV-CMS family, under /api/v1."""
