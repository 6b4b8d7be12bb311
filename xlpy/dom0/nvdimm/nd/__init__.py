"""The kernel's nvdimm bus: what sysfs shows below ``/sys/bus/nd/devices``, what may be written there, and what follows.

``bus.Nd`` is all of it; its parts have the names, attributes and errors of Linux 6.1 (``drivers/nvdimm``). A reader of
attributes gets what sysfs would show, as a value: numbers as numbers, names as text, UUIDs as text, empty for none. A
write is a method ``store_*``; ``bind`` and ``unbind`` stand for the files of that name. What the kernel refuses is an
``NdError``: an ``OSError`` with the kernel's errno, and in ``why`` the reason, in its log's words if it has any.

Attributes that have no value yet (sysfs: the read fails) raise ``NdError`` with ENXIO.
"""
