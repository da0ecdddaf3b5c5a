"""Service of batteries: tickets, technicians, and who gets which. Ienerzy's rules."""
