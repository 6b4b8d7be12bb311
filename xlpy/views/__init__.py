"""What listings say of a host, as records: read from the actors, rendered by the command line."""
