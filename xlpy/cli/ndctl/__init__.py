"""``xlpy ndctl`` and ``xlpy daxctl``: the options, outputs, messages and exit statuses of the real ones.

Source of all of it: ndctl 76.1 (options, texts, order of steps) on Linux 6.1, as recorded in tests/ndctl; ``--like 85``
answers as ndctl 85 does where that differs. What the kernel does is ``xlpy.dom0.nvdimm.nd``.
"""
