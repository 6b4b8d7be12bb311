"""``xlpy record`` and ``replay``: recording commands in one file, and checking that they do the same again."""
