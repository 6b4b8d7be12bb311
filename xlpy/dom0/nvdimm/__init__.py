"""Dom0's NVDIMM driver: labels, info blocks, namespaces."""
