"""One file an action that a charger may send; `ingest.ocpp.routing` names them all."""
