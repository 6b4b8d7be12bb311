"""Dom0's block devices and files, and who uses them."""

BOOT_SECTOR, BOOT_SIGNATURE = 512, b"\x55\xaa"  # of any partition table: its size, and how it ends
