"""vNVDIMMs on a real, unmodified Xen: from a configuration of the design to files that the stock xl takes.

``iomem`` maps the host frames behind a backing into the guest, ``acpi_firmware`` hands hvmloader the tables that tell
the guest of them. See docs/real-xen.md.
"""
