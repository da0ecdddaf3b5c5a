"""OCPP 1.6: one file an action that a charger may send; `routes` names them all."""
