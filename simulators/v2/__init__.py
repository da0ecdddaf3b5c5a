"""What a simulated charger of OCPP 2.0.1 and 2.1 does on order."""
