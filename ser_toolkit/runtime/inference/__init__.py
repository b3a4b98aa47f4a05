"""From standardised windows to probabilities: a clip, or a stream that gives the same."""
