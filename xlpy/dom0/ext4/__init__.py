"""ext4 file systems inside images: read, made and changed without mounting and without root.

``Ext4Image`` reads (superblock, inodes, extent trees, directories, every checksum compared), ``make_ext4`` makes,
``Ext4Editor`` changes through debugfs. Import them from their modules: reading must not wait for what only making
needs.
"""

MAX_NAME = 255  # bytes of a name in a directory
MAX_SYMLINKS = 8  # that a path may lead through
