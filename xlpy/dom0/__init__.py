"""Dom0's Linux: NVDIMM driver, namespaces, DAX file systems, fiemap, sysfs, xenstore."""
