"""The MQTT ingestor and the commands to batteries."""
