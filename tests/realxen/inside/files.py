"""Make the files of the judge: vm1.img in four extents that lie in the wrong order, and an area for its labels."""

import os

MIB = 1 << 20
PART = 8 * MIB


def scattered(path: str, parts: int) -> None:
    """Written parts, allocated from the last to the first, with a page of another file between them."""
    with open(path, "wb") as file:  # noqa: PTH123 - run by whichever Python the Dom0 has
        file.truncate(parts * PART)
        for part in reversed(range(parts)):
            os.posix_fallocate(file.fileno(), part * PART, PART)
            file.seek(part * PART)
            for _ in range(PART // MIB):
                file.write(bytes(MIB))
            os.fsync(file.fileno())
            with open(f"{path}.gap{part}", "wb") as gap:  # noqa: PTH123
                gap.write(bytes(4096))


scattered("/mnt/dax/vm1.img", 4)
with open("/mnt/dax/vm1.labels", "wb") as labels:  # noqa: PTH123
    labels.write(bytes(128 << 10))
os.sync()
