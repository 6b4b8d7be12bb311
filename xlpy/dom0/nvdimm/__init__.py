"""Dom0's NVDIMM driver: labels, info blocks, namespaces."""

# By which things on media are recognised
PFN_SIGNATURE = b"NVDIMM_PFN_INFO\0"
DAX_SIGNATURE = b"NVDIMM_DAX_INFO\0"
BTT_SIGNATURE = b"BTT_ARENA_INFO\0\0"
INDEX_SIGNATURE = b"NAMESPACE_INDEX\0"  # of a label area
