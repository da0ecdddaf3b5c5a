"""What chargers do wrong: `registry` says how to treat which, `normalise` mends what they send.

Used by `ingest.ocpp`. Each repair has a tag, and each tag is counted by model.
"""
