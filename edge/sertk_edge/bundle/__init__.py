"""Load a bundle, and replace it while the daemon runs."""
