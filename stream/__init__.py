"""The durable log and the vectorised core between shells and tables."""
