"""``xlpy record`` and ``replay``: what commands did, in one file, and whether they do the same again."""
