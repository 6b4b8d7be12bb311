"""What ndctl says when it refuses, and with which status it ends: texts and statuses of ndctl 76.1 on Linux 6.1."""

from __future__ import annotations

import pytest
from dom0.nvdimm.nd_bank import BASE, single
from ndctl.bank import Bank

from xlpy.addr import KIB, MIB

CREATE = "ndctl create-namespace"


def labelled(size=1024 * MIB, base=BASE):
    return Bank(single(size, base), minor=2)


def bare():
    return Bank(single(64 * MIB))


def full():
    bank = labelled(64 * MIB)
    assert bank(f"{CREATE} -m raw")[0] == 0
    return bank


def used():
    bank = full()
    bank.platform.used = ["mount /mnt"]
    return bank


def sector():
    bank = labelled()
    assert bank(f"{CREATE} -m sector -s 64M")[0] == 0
    return bank


def down():
    bank = labelled()
    assert bank("ndctl disable-region all")[0] == 0
    return bank


NO_ROOM = "failed to create namespace: No space left on device"
INVALID = "failed to create namespace: Invalid argument"
# (what there is, command, status, lines on standard error; those of usage follow where the status is 129)
ROWS = [
    (full, f"{CREATE} -m raw", 237, [NO_ROOM]),
    (full, CREATE, 237, ["failed to create namespace: No such device or address"]),  # once more, for the type blk
    (full, f"{CREATE} -s 16M", 237, [NO_ROOM]),
    (labelled, f"{CREATE} -r region9", 237, ["failed to create namespace: No such device or address"]),
    (
        labelled,
        f"{CREATE} -s 17M",
        234,
        ["  Error: create namespace: region0: align setting is 0x1000000 size 0x1100000 is misaligned", ""],
    ),
    (
        labelled,
        f"{CREATE} -s 32M -a 1G",
        234,
        [
            "  Error: create namespace: '--size=' must align to interleave-width: 1 and alignment: 1073741824",
            "did you intend --size=1024M?",
            "",
        ],
    ),
    (
        labelled,
        f"{CREATE} -m sector -l 600",
        234,
        ["  Error: create namespace: region0: does not support btt sector_size 600", ""],
    ),
    (
        lambda: labelled(8 * MIB),
        f"{CREATE} -s 4M",
        237,
        ["  Error: '--size=' must be >= 16MiB for 'fsdax' mode", "", INVALID],
    ),
    (
        lambda: labelled(8 * MIB),
        f"{CREATE} -s 4M -m sector",
        237,
        ["  Error: '--size=' must be >= 16MiB for 'sector' mode", "", INVALID],
    ),
    (
        lambda: labelled(32 * MIB, BASE - 128 * KIB),
        f"{CREATE} -m fsdax",
        237,
        ["  Error: namespace0.0 misaligned to 16M, adjust region alignment and retry", "", INVALID],
    ),
    (
        bare,
        f"{CREATE} -s 32M",
        237,
        [
            "  Error: Legacy / label-less namespaces do not support sub-dividing a region",
            "",
            "  Error: Retry without -s/--size=",
            "",
            INVALID,
        ],
    ),
    (
        full,
        f"{CREATE} -e namespace0.0 -m fsdax",
        240,
        [
            "  Error: namespace0.0 is active, specify --force for re-configuration",
            "",
            "failed to reconfigure namespace: Device or resource busy",
        ],
    ),
    (labelled, f"{CREATE} -s 32M --reserve x", 129, ["  Error: failed to parse reserve 'x'", ""]),
    (
        labelled,
        f"{CREATE} -s 32M -m sector --reserve xen",
        129,
        ["  Error: --reserve only valid for fsdax and devdax mode", ""],
    ),
    (
        labelled,
        f"{CREATE} -s 32M --reserve 31M",
        237,
        ["  Error: --reserve=31M leaves no room for data in 33554432 bytes", "", INVALID],
    ),
    (
        labelled,
        f"{CREATE} -s 32M --reserve 1G",
        237,
        ["  Error: --reserve=1G is more than 65471 bytes for each page of the namespace", "", INVALID],
    ),
    (labelled, f"{CREATE} -m foo", 129, ["  Error: invalid mode 'foo'", ""]),
    (labelled, f"{CREATE} -m raw -M dev", 129, ["  Error: --map only valid for an devdax mode pmem namespace", ""]),
    (labelled, f"{CREATE} -a 3M", 129, ["  Error: align must be a power-of-2 greater than 4096", ""]),
    (labelled, f"{CREATE} -a 2K", 129, ["  Error: align must be a power-of-2 greater than 4096", ""]),
    (
        used,
        "ndctl destroy-namespace -f namespace0.0",
        240,
        ["error destroying namespaces: Device or resource busy", "destroyed 0 namespaces"],
    ),
    (
        labelled,
        "ndctl destroy-namespace namespace9.0",
        250,
        ["error destroying namespaces: No such device or address", "destroyed 0 namespaces"],
    ),
    (labelled, "ndctl disable-region region9", 0, ["disabled 0 regions"]),
    (labelled, "ndctl read-labels nmem9", 0, ["read 0 nmem"]),
    (down, "ndctl init-labels nmem0", 1, ["nmem0: error: labels already initialized", "initialized 0 nmem"]),
    (labelled, "ndctl zero-labels nmem0", 1, ["nmem0: regions active, abort label write", "zeroed 0 nmem"]),
    (
        sector,
        "ndctl check-namespace namespace0.0",
        240,
        [
            "namespace0.0: namespace_check: namespace0.0: check aborted, namespace online",
            "error checking namespaces: Device or resource busy",
            "checked 0 namespaces",
        ],
    ),
    (labelled, "ndctl bogus", 1, ["Unknown command: 'bogus'"]),
]


@pytest.mark.parametrize(
    ("there", "command", "status", "lines"), ROWS, ids=[f"{row[1]} {at}" for at, row in enumerate(ROWS)]
)
def test_a_refusal_has_its_text_and_its_status(there, command, status, lines):
    bank = there()
    before = bank("ndctl list -DRNi")
    found, out, err = bank(command)
    told = err.splitlines()
    if status == 129:
        at = next(at for at, line in enumerate(told) if line.startswith(" usage: "))
        told = told[: at - 1]
    assert (found, out, told) == (status, "", lines)
    assert bank("ndctl list -DRNi") == before


@pytest.mark.parametrize(
    ("options", "costs"),
    [
        ("", 40),
        ("-m devdax", 40),
        ("-m devdax -n new", 40),
        ("-M mem", 40),
        ("--reserve 0", 0),
        ("--reserve 1M", 128),
        ("-m raw", None),
    ],
)
def test_a_namespace_keeps_its_reserve_unless_something_else_is_said(options, costs):
    bank = labelled()
    assert bank(f"{CREATE} -s 32M --reserve xen")[0] == 0
    assert bank(f"{CREATE} -f -e namespace0.0 {options}")[0] == 0
    claim = bank.nd.namespace("namespace0.0").claim
    assert (claim.block.page_struct_size - 64 if claim else None) == costs


@pytest.mark.parametrize(("size", "status"), [("29M", 0), ("30M", 237)])
def test_both_sides_of_the_largest_reserve(size, status):
    bank = labelled()
    assert bank(f"{CREATE} -s 32M --reserve {size}")[0] == status


@pytest.mark.parametrize("size", ["16M", "48M", "1008M", "1G"])
def test_both_sides_of_what_fits(size):
    bank = labelled()
    assert bank(f"{CREATE} -m raw -s {size}")[0] == 0
    left = 1024 * MIB - next(bank.nd.namespaces).size
    status, _, err = bank(f"{CREATE} -m raw -s {left + 16 * MIB}")
    assert (status, err) == (237, f"{NO_ROOM}\n")
    assert (bank(f"{CREATE} -m raw -s {left}")[0] == 0) is bool(left)
