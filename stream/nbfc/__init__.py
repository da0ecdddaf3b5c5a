"""The NBFC that lends: what it is told, and what its word makes of an application. Ienerzy's rules."""
