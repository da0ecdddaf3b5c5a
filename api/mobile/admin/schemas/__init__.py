"""What the portal takes and gives, one module a subject."""
