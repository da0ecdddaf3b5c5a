"""Battery telemetry as JSON: schema, decoder, commands."""
