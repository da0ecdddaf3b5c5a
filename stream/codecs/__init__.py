"""Payload codecs in JavaScript (LoRa Alliance TS013, The Things Stack, ChirpStack), unchanged in a sandbox.

`pool` is what shells and the API use; `worker` is the process behind it, `sandbox` a codec's context in
there, `js/` and `shims` the JavaScript around it, `contexts` which are warm, `examples` how examples are
compared.
"""
