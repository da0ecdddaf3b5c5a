"""OCPP 2.0.1 and 2.1: one file an action that a charger may send; `routes` names them all."""
