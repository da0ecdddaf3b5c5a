"""The OCPP central system: one gateway process, many chargers."""
