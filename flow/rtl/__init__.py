"""Graph -> folded RTL, memory files, and its simulation against the integer reference."""
