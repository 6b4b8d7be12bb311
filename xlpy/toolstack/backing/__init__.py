"""Which host-physical memory is behind a backing, and whether it may be mapped."""
