"""From sound to changes of the emotion, without clock, thread or file."""
