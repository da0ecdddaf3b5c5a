"""What NB-IoT devices and operators' platforms send around payloads: paths, topics, blocks, callbacks.

Pure. Used by `ingest.nbiot` and `ingest.callbacks.nbiot`.
"""
