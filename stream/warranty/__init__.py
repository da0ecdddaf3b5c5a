"""Warranties: terms, signed certificates, reminders, and what telemetry says of claims. Lithovolt's rules."""
