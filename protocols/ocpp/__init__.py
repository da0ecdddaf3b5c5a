"""OCPP: framing, message schemas, and the connection as a state machine."""
