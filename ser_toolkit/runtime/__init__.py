"""Run on a Raspberry Pi: standard library, numpy, soxr and soundfile only."""
