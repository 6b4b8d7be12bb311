"""A domain configuration: language, keys, devices, reading, libxl's JSON."""
