"""xl and libxl: the configuration language, resolving, building and ending domains."""
