"""``python -m xlpy``."""

from xlpy.cli.main import main

main()
