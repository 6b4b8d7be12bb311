"""Where a byte lives: every hop between a line of a configuration and a cell of a DIMM, in both directions."""
