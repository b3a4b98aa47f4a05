"""Store events, and deliver each to every sink."""
