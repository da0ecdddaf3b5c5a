"""OCPP security: TLS, the local certificate authority, what follows from answers about certificates.

OCPP 1.6 security whitepaper edition 3; OCPP 2.0.1 part 2, blocks A and M.
"""
