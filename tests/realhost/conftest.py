"""One boot of a real Linux for all tests of this folder."""

from __future__ import annotations

import fcntl
import os

import pytest
from dom0.ext4.images import need
from realhost.guest import KitError, Told, boot, kit

FAST = ("uses", "dax", "races", "other", "regions")


@pytest.fixture(scope="session")
def told(tmp_path_factory):
    """What Debian's own kernel told of the fast half of all situations."""
    need("qemu-system-x86_64")
    need("sfdisk")
    base = tmp_path_factory.getbasetemp()  # under xdist that of one worker, inside that of all
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-host"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "told").exists():
            try:
                parts = kit(cache=os.environ.get("XLPY_GUEST_KIT"))
            except KitError as error:
                pytest.skip(f"the guest kit cannot be assembled: {error}")
            boot(folder, parts, FAST)
    return Told(folder)
