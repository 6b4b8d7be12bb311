"""xlpy: Xen's vNVDIMM design (RFC v2, 2016), end to end, on any machine."""

__version__ = "0.1.0"
