"""From a trained binary student to a bitstream: export, lower, generate, simulate, implement."""
