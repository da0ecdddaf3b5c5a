"""LoRaWAN devices behind network servers: events in by MQTT or HTTP, downlinks out, missing uplinks again."""
