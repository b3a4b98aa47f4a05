"""Score predictions, compare systems in pairs, and calibrate probabilities."""
