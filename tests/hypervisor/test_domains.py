"""The life of domains, as transcripts of (caller, hypercall, arguments, expected)."""

import pytest
from hypervisor_helpers import Refused, play

from xlpy import abi
from xlpy.addr import Span
from xlpy.errors import HypercallError, NotFound
from xlpy.firmware.e820 import E820_RAM, E820Entry
from xlpy.firmware.platform import Vnuma, VnumaRange
from xlpy.hypervisor.xen import Xen

UUID = bytes(range(16))
EPERM, ESRCH, EINVAL, EEXIST = (Refused(n) for n in (abi.EPERM, abi.ESRCH, abi.EINVAL, abi.EEXIST))


def test_domids(xen, calls):
    """Upwards from the last one handed out, wrapping, never 0; an explicit id must be free and real."""
    assert [calls.domctl_createdomain(UUID) for _ in range(3)] == [1, 2, 3]
    calls.domctl_destroydomain(2)
    assert calls.domctl_createdomain(UUID) == 4  # 2 is free, but later in the turn
    assert calls.domctl_createdomain(UUID, domid=2) == 2
    assert calls.domctl_createdomain(UUID) == 5  # an explicit id does not move the turn
    for taken in (0, 3, 0x7FF0, 0x7FF4, -1, 1 << 16):
        with pytest.raises(HypercallError) as caught:
            calls.domctl_createdomain(UUID, domid=taken)
        assert caught.value.errno == abi.EEXIST
    assert calls.domctl_createdomain(UUID, domid=0x7FEF) == 0x7FEF
    xen.store.table("xen").put("last_domid", 0x7FEE)
    assert calls.domctl_createdomain(UUID) == 6  # 0x7fef is taken, then it wraps past 1 to 5


def test_no_domid_is_free(xen, calls):
    table = xen.store.table("xen.domain")
    real = table.keys
    calls.domctl_createdomain(UUID)
    xen.store.table = lambda name, made=xen.store.table: _Full() if name == "xen.domain" else made(name)
    with pytest.raises(HypercallError, match="no domain id is free") as caught:
        calls.domctl_createdomain(UUID)
    assert caught.value.errno == abi.EEXIST
    assert real() == ["0", "1"]


class _Full:
    """The table of domains, with every id taken."""

    def get(self, key):
        return {"domid": key}


def test_create_checks(xen, guest):
    play(
        xen,
        [
            (guest, "domctl_createdomain", (UUID,), EPERM),
            (0, "domctl_createdomain", (UUID[:15],), EINVAL),
            (0, "domctl_createdomain", (UUID + b"x",), EINVAL),
        ],
    )
    for arguments in (
        {"max_vcpus": 0},
        {"max_vcpus": 129},
        {"flags": 0x100},
        {"flags": -1},
        {"flags": abi.XEN_DOMCTL_CDF_HAP},
    ):
        with pytest.raises(HypercallError) as caught:
            xen.hypercalls(0).domctl_createdomain(UUID, **arguments)
        assert caught.value.errno == abi.EINVAL, arguments
    assert xen.hypercalls(0).domctl_createdomain(UUID, max_vcpus=128) > guest


def test_pauses_are_counted(xen, calls):
    one = calls.domctl_createdomain(UUID)
    domain = xen.domain(one)
    assert (domain.state, domain.paused, domain.started) == ("--p---", True, False)
    play(
        xen,
        [
            (0, "domctl_pausedomain", (one,), None),
            (0, "domctl_unpausedomain", (one,), None),
        ],
    )
    assert domain.state == "--p---"
    play(
        xen,
        [
            (0, "domctl_unpausedomain", (one,), None),
            (0, "domctl_unpausedomain", (one,), EINVAL),  # it runs
            (one, "domctl_pausedomain", (one,), EPERM),
            (0, "domctl_pausedomain", (0,), EINVAL),  # nobody pauses itself
            (0, "domctl_pausedomain", (77,), ESRCH),
            (one, "domctl_pausedomain", (77,), EPERM),  # only the privileged learn that it does not exist
        ],
    )
    assert (domain.state, domain.started) == ("r-----", True)


def test_the_first_shutdown_code_wins(xen, calls):
    one, two = calls.domctl_createdomain(UUID), calls.domctl_createdomain(UUID)
    calls.domctl_unpausedomain(one)
    play(
        xen,
        [
            (one, "sched_shutdown", (one, 6), EINVAL),
            (one, "sched_shutdown", (one, -1), EINVAL),
            (two, "sched_shutdown", (one, 0), EPERM),
            (one, "sched_shutdown", (abi.DOMID_SELF, abi.SHUTDOWN_REBOOT), None),
            (0, "sched_shutdown", (one, abi.SHUTDOWN_CRASH), None),
        ],
    )
    info = calls.domctl_getdomaininfo(one)
    assert (info.shutdown_code, info.state) == (abi.SHUTDOWN_REBOOT, "---s--")
    assert info.flags == 4 | 2 | 1 << 8 | 1 << 16  # shutdown, HVM, HAP, code in bits 16 to 23
    calls.domctl_resumedomain(one)
    assert xen.domain(one).state == "r-----"
    xen.domain(one).crash("for the test")
    assert xen.domain(one).state == "----c-"
    assert "domain_crash called for d1: for the test" in calls.sysctl_readconsole()[-2]


def test_destroy(xen, calls, guest):
    free = xen.heap.pages
    domain = xen.domain(guest)
    assert domain.home.joinpath("ram").exists()
    play(
        xen,
        [
            (guest, "domctl_destroydomain", (guest,), EPERM),
            (0, "domctl_destroydomain", (0,), EINVAL),
            (0, "domctl_destroydomain", (guest,), None),
            (0, "domctl_destroydomain", (guest,), ESRCH),
            (0, "domctl_getdomaininfo", (guest,), ESRCH),
        ],
    )
    assert xen.heap.pages == free + 0x4000 - 0x20
    with pytest.raises(NotFound):
        xen.domain(guest)
    assert domain.home.joinpath("ram").exists()  # until the transaction is committed
    assert xen.sweep() == [f"removed the RAM of domain {guest}"]
    assert not domain.home.exists()
    left = xen.store.query("SELECT room, key FROM records WHERE key = ?", (str(guest),))
    assert left == []


def test_ram_of_an_earlier_domain_is_gone(xen, calls, guest):
    xen.domain(guest).memory.write(0x1000, b"secret")
    calls.domctl_destroydomain(guest)
    again = calls.domctl_createdomain(UUID, domid=guest)
    calls.domctl_max_mem(again, 80 << 10)
    calls.memory_populate_physmap(again, [Span(0, 0xA0)])
    assert xen.domain(again).memory.read(0x1000, 6) == bytes(6)


def test_allowance(xen, calls):
    """tot_pages stops at max_pages; populate says how many extents it did."""
    one = calls.domctl_createdomain(UUID)
    play(
        xen,
        [
            (0, "memory_populate_physmap", (one, [Span(0, 1)]), 0),  # nothing is allowed yet
            (one, "domctl_max_mem", (one, 4096), EPERM),
            (0, "domctl_max_mem", (one, -1), EINVAL),
            (0, "domctl_max_mem", (one, 4096), None),
            (0, "memory_populate_physmap", (one, [Span(0, 1000), Span(1000, 24), Span(2000, 1)]), 2),
            (one, "memory_populate_physmap", (abi.DOMID_SELF, [Span(2000, 1)]), 0),
            (one, "memory_decrease_reservation", (one, [Span(10, 5)]), 1),
            (one, "memory_populate_physmap", (one, [Span(2000, 1), Span(0, 1)]), 1),  # gfn 0 is RAM already
            (0, "memory_populate_physmap", (one, [Span(1 << 34, 1)]), EINVAL),
        ],
    )
    info = calls.domctl_getdomaininfo(one)
    assert (info.tot_pages, info.max_pages) == (1020, 1024)
    assert any("1024 + 1 pages are more than the 1024" in line for line in xen.console.lines())


def test_host_memory_runs_out(xen, calls):
    one = calls.domctl_createdomain(UUID)
    calls.domctl_max_mem(one, 64 << 20)
    free = xen.heap.pages
    assert calls.memory_populate_physmap(one, [Span(0x100000, free + 1)]) == 0
    assert xen.heap.pages == free
    assert calls.memory_populate_physmap(one, [Span(0x100000, free)]) == 1
    assert xen.heap.pages == 0
    assert calls.sysctl_physinfo().free_pages == 0
    calls.domctl_destroydomain(one)
    assert xen.heap.pages == free


def test_device_model_of_a_domain(xen, calls, guest):
    model = calls.domctl_createdomain(UUID)
    other = calls.domctl_createdomain(UUID)
    play(
        xen,
        [
            (model, "domctl_set_target", (model, guest), EPERM),
            (0, "domctl_set_target", (model, model), EINVAL),
            (0, "domctl_set_target", (model, 99), ESRCH),
            (0, "domctl_set_target", (99, guest), ESRCH),
            (0, "domctl_set_target", (model, guest), None),
            (0, "domctl_set_target", (model, other), EINVAL),
            (model, "memory_set_memory_map", (guest, []), None),
            (model, "memory_set_memory_map", (other, []), EPERM),
            (model, "sched_shutdown", (guest, 0), None),
        ],
    )


def test_memory_map(xen, calls, guest):
    rows = [E820Entry(0x100000, 0x100000, E820_RAM)]
    play(
        xen,
        [
            (guest, "memory_memory_map", (), Refused(abi.ENOSYS)),
            (0, "memory_set_memory_map", (guest, rows * 129), EINVAL),
            (0, "memory_set_memory_map", (guest, [E820Entry((1 << 64) - 1, 2, E820_RAM)]), EINVAL),
            (0, "memory_set_memory_map", (guest, rows), None),
            (guest, "memory_memory_map", (), rows),
            (guest, "memory_memory_map", (abi.DOMID_SELF,), rows),
            (0, "memory_memory_map", (guest,), rows),
        ],
    )


def test_vnuma(xen, calls, guest):
    ranges = (VnumaRange(0, 0x2000000, 0), VnumaRange(0x2000000, 0x4000000, 1))
    good = Vnuma((0, 1), ((10, 20), (20, 10)), ranges)
    play(
        xen,
        [
            (guest, "memory_get_vnumainfo", (), Refused(abi.EOPNOTSUPP)),
            (0, "domctl_setvnumainfo", (guest, good._replace(vcpu_to_node=(0,))), EINVAL),  # two vCPUs
            (0, "domctl_setvnumainfo", (guest, good._replace(vcpu_to_node=(0, 2))), EINVAL),
            (0, "domctl_setvnumainfo", (guest, good._replace(distances=((10, 20),))), EINVAL),
            (0, "domctl_setvnumainfo", (guest, good), None),
            (guest, "memory_get_vnumainfo", (), good),
        ],
    )


def test_params(xen, calls, guest):
    tss, store, hpet, viridian = 37, 1, 11, 9
    pv = calls.domctl_createdomain(UUID, hvm=False)
    play(
        xen,
        [
            (0, "hvm_set_param", (guest, store, 0xFEFFC), None),
            (guest, "hvm_get_param", (abi.DOMID_SELF, store), 0xFEFFC),
            (guest, "hvm_set_param", (guest, store, 1), EPERM),  # the toolstack's
            (guest, "hvm_set_param", (guest, tss, 0x180FC100280), None),
            (guest, "hvm_get_param", (guest, hpet), EPERM),
            (0, "hvm_get_param", (guest, hpet), 0),
            (0, "hvm_set_param", (guest, 39, 1), EINVAL),
            (0, "hvm_set_param", (guest, -1, 1), EINVAL),
            (0, "hvm_set_param", (guest, tss, 1 << 64), EINVAL),
            (0, "hvm_set_param", (guest, viridian, 3), None),
            (0, "hvm_set_param", (guest, viridian, 3), None),
            (0, "hvm_set_param", (guest, viridian, 5), EEXIST),  # only once
            (0, "hvm_set_param", (pv, tss, 1), EINVAL),
            (0, "hvm_get_param", (99, tss), ESRCH),
        ],
    )


def test_everything_is_remembered(xen, hw, store, calls, guest):
    calls.domctl_setdomainhandle(guest, bytes(16))
    calls.hvm_set_param(guest, 37, 5)
    calls.domctl_unpausedomain(guest)
    again = Xen(hw, store)
    domain = again.domain(guest)
    assert (domain.uuid, domain.params, domain.state, domain.tot_pages) == (bytes(16), {37: 5}, "r-----", 0x3FE0)
    infos = again.hypercalls(0).sysctl_getdomaininfolist()
    assert [(info.domid, info.state) for info in infos] == [(0, "r-----"), (guest, "r-----")]
    assert again.hypercalls(0).sysctl_getdomaininfolist(1) == infos[1:]
    assert again.heap.pages == xen.heap.pages


def test_what_guests_may_not_ask(xen, guest):
    play(
        xen,
        [
            (guest, "sysctl_readconsole", (), EPERM),
            (guest, "sysctl_physinfo", (), EPERM),
            (guest, "sysctl_getdomaininfolist", (), EPERM),
            (guest, "domctl_getdomaininfo", (guest,), EPERM),
            (guest, "domctl_get_cpu_policy", (guest,), EPERM),
            (guest, "domctl_setdomainhandle", (guest, UUID), EPERM),
            (0, "domctl_setdomainhandle", (guest, b""), EINVAL),
        ],
    )


def test_boot_gives_dom0_its_share(xen, hw):
    """4 GiB of RAM: 1 GiB less what firmware keeps is a quarter; the frame table for the rest is Xen's."""
    total = xen.total_pages
    assert total == 0x9F + (0xBFF00 - 0x100) + 0x40000
    dom0 = xen.domain(0)
    assert (dom0.tot_pages, dom0.state, dom0.max_vcpus) == (total // 4, "r-----", 2)
    assert xen.heap.pages == total - 0x9F - total // 4 - 10238  # the first MiB is Xen's
    assert 0x9E not in xen.heap
