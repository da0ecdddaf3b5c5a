"""LoRaWAN as network servers tell of it: ChirpStack 4 and The Things Stack 3, events in and downlinks out."""
