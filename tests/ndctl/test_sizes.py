"""Namespaces of every size from 0 to 64 MiB in odd steps: made, or refused in ndctl's words, and nothing else."""

from __future__ import annotations

import json
import re

import pytest
from dom0.nvdimm.nd_bank import single
from ndctl.bank import Bank

from xlpy.addr import KIB, MIB

MODES = ("raw", "fsdax", "devdax", "sector")
REGION = 64 * MIB
ODD = 1_234_567  # bytes
SIZES = (*range(0, REGION + 1, ODD), *(n * MIB for n in range(0, 65, 7)), *(n * MIB for n in (16, 32, 48, 64)))
REFUSED = re.compile(
    r"align setting is 0x\w+ size 0x\w+ is misaligned"
    r"|'--size=' must align to interleave-width"
    r"|must be >= 16MiB for '\w+' mode"
    r"|failed to enable"
    r"|failed to create namespace: No space left on device"
    r"|failed to reconfigure namespace: "
)


@pytest.mark.parametrize("mode", MODES)
def test_with_labels(mode):
    bank = Bank(single(REGION), minor=2)
    for size in SIZES:
        status, out, err = bank(f"ndctl create-namespace -r region0 -m {mode} -s {size}")
        wanted = size or REGION  # 0 is what is free
        if wanted % (16 * MIB) == 0:
            assert status == 0, (size, err)
            made = json.loads(out)
            assert made["mode"] == mode
            assert 0 < made["size"] <= wanted
            if mode == "raw":
                assert made["size"] == wanted
            assert bank("ndctl destroy-namespace -f all")[0] == 0
        else:
            assert status in (234, 237), (size, err)
            assert REFUSED.search(err), (size, err)
        assert [one.size for one in bank.nd.namespaces if one.size] == []
        assert bank("ndctl check-labels all")[0] == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_region_without_labels_of_that_size(mode):
    for size in range(64 * KIB, REGION + 1, ODD // 4096 * 4096):
        bank = Bank(single(size))
        status, out, err = bank(f"ndctl create-namespace -f -e namespace0.0 -m {mode} --no-autolabel")
        if status == 0:
            assert json.loads(out)["mode"] == mode
            before = bank("ndctl list")[1]
            bank.reboot()
            assert bank("ndctl list")[1] == before
        else:
            assert REFUSED.search(err), (size, err)
            (left,) = bank.nd.namespaces
            assert left.size == size
