"""``python -m xlpy``."""

from xlpy.start import main

main()
