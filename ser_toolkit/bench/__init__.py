"""Measure how fast a bundle runs on this machine."""
