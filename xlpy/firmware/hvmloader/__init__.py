"""hvmloader: the firmware of a Xen HVM guest, which builds its tables and its memory map. ``main`` runs it."""
