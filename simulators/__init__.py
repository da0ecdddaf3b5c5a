"""Devices that speak only the wire, and fleets of them."""
