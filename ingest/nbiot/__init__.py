"""The shells of NB-IoT: CoAP and plain UDP (one role), MQTT (a family of the MQTT role's topics)."""
