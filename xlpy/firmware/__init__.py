"""BIOS and hvmloader: everything that runs before an operating system."""
