"""What an operating system would find in a domain, and nothing that only the host knows."""
