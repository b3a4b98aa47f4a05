"""Predict, evaluate and extract features with a run or a bundle."""
