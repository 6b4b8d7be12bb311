"""Starting an unmodified operating system on a domain: an emulator serves as the processor, nothing more."""
