"""Dom0's block devices and files, and who uses them."""
