"""What the Mobile family takes and gives, one module a subject."""
