"""Xen: hypercalls, pmem registry, p2m, domains, guest memory, CPUID policy, MMIO dispatch."""
