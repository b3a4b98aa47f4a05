"""Compute features from audio, cut windows and normalize them."""
