"""Meter sense: registers to consumption, consumption to bills, bills to wallets and supply."""
