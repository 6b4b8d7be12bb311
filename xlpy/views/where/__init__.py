"""Where a byte is located: every hop between a line of a configuration and a DIMM address, in both directions."""
