"""QEMU's part: vNVDIMM placement, guest NFIT and AML, the dm-acpi area, ``_DSM``."""
