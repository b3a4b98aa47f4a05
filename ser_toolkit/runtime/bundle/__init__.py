"""Read, verify and sign bundle files."""
