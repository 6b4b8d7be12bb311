"""xenstored: its tree, transactions and connections."""
