"""FASM <-> configuration bits <-> netlist: what proves that the bitstream is the design."""
