"""From sound to changes of the emotion: pure functions of samples, without clock, thread or file."""
