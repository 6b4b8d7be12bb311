"""XFS file systems inside images: made by mkfs.xfs and read, without mounting and without root.

``XfsImage`` reads version 5 file systems (superblock, inodes, data forks, directories, every checksum compared),
``make_xfs`` makes. Nothing here changes a file system that was made.
"""
