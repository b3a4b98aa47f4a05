"""Helpers that know nothing of speech: child processes, files, progress, text."""
