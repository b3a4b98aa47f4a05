"""The page and the interface for programs."""
