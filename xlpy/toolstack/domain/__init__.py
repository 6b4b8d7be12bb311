"""Building a domain, and its life."""
