"""The data of listings, as records: read from the actors, rendered by the command line."""
