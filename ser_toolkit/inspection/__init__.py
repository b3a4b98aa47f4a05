"""Show one recording and its augmented copies in one picture."""
