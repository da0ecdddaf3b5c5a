"""Wire formats: bytes in, values out; no input or output, no clock, no framework."""
