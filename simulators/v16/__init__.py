"""What a simulated charger of OCPP 1.6 does on order."""
