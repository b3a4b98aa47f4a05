"""Decode and resample audio."""
