"""Provide helpers that do not depend on speech: child processes, files, progress."""
