"""Carry events away: standard output, a file, MQTT, a web server."""
