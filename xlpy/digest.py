"""BLAKE2b from where ``hashlib`` has it: ``hashlib`` itself loads OpenSSL first, which takes longer than most commands'
own work. The standard library does the same in ``random``."""

from __future__ import annotations

try:
    from _blake2 import blake2b as blake2b
except ImportError:  # a Python that was built without it
    from hashlib import blake2b as blake2b
