"""Memory errors: made, hidden, found, told, and cleared; and what a failure leaves of each step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlpy.addr import MIB, Spa, Span
from xlpy.dom0.nvdimm.badrange import SHOWN, sectors, text
from xlpy.errors import Constraint, HypercallError
from xlpy.events import media_errors
from xlpy.host import Host
from xlpy.hw.hardware import Hardware
from xlpy.hw.health import Thresholds
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.domain.model import device_model

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def bad(host):
    """A line of the default host's second device."""
    return Span(Spa(host.dom0.namespaces[1].data.start + MIB + 64), 64)


def known(host):
    return list(host.dom0.bad)


@pytest.mark.parametrize(
    ("bad", "entries"),
    [
        ([], []),
        ([(0, 1)], [(0, 1)]),
        ([(511, 1)], [(0, 1)]),
        ([(511, 2)], [(0, 2)]),
        ([(0, 64), (256, 64)], [(0, 1)]),  # one sector
        ([(0, 64), (512, 64)], [(0, 2)]),  # neighbours
        ([(0, 64), (1024, 64)], [(0, 1), (2, 1)]),
        ([(0, 512 * 512)], [(0, 512)]),
        ([(0, 513 * 512)], [(0, 512), (512, 1)]),  # the longest entry of a list
        ([(64, 512 * 512)], [(0, 512), (512, 1)]),
    ],
)
def test_sectors_are_listed_as_the_kernel_does(bad, entries):
    base = 0x440000000
    assert sectors([Span(Spa(base + at), size) for at, size in bad], base) == entries


def test_a_list_ends_where_the_kernels_does():
    bad = [Span(Spa(at * 1024), 64) for at in range(600)]
    assert len(sectors(bad, 0)) == 512
    shown = text(bad, 0)
    assert len(shown) <= SHOWN
    assert shown.endswith("\n")


def test_what_is_injected_is_found_at_once(host, bad):
    with host.change("injecting"):
        media_errors.inject(host, [bad])
    assert known(host) == [bad]
    assert media_errors.injected(host) == [bad]
    assert host.dom0.sysfs("/sys/block/pmem1/badblocks") == f"{MIB // 512} 1"
    assert host.dom0.sysfs("/sys/bus/nd/devices/region1/badblocks").endswith(" 1")
    assert host.dom0.sysfs("/sys/bus/nd/devices/ndbus0/nfit/scrub") == "2"  # one at boot
    assert host.xen.pmem.bad.covers(bad.start, bad.end)


def test_what_is_injected_in_silence_is_found_by_a_scrub(host, bad):
    with host.change("injecting"):
        media_errors.inject(host, [bad], notify=False)
    assert (known(host), host.dom0.sysfs("/sys/block/pmem1/badblocks")) == ([], "")
    with host.change("scrubbing"):
        assert media_errors.scrub(host) == 2
    assert known(host) == [bad]


def test_what_is_taken_back_is_believed_in(host, bad):
    """As ndctl warns: the kernel does not forget before the range is cleared."""
    host.hw.write(bad.start, b"kept")
    with host.change("injecting"):
        media_errors.inject(host, [bad])
        media_errors.uninject(host, [bad])
    assert (media_errors.injected(host), len(host.hw.poison), known(host)) == ([], 0, [bad])
    assert host.hw.read(bad.start, 4) == b"kept"
    with host.change("clearing"):
        assert media_errors.clear(host, Span(Spa(bad.start - 64), 512)) == 0
    assert known(host) == []


def test_uninjecting_spares_errors_of_the_media(host, bad):
    host.hw.poison.add(bad)
    with host.change("uninjecting"):
        media_errors.uninject(host, [bad])
    assert len(host.hw.poison) == 1


def test_clearing_loses_what_was_there(host, bad):
    host.hw.write(Spa(bad.start - 64), bytes(range(192)))
    with host.change("injecting"):
        media_errors.inject(host, [bad])
        assert media_errors.clear(host, Span(Spa(bad.start - 64), 512)) == 64
    assert host.hw.read(Spa(bad.start - 64), 192) == bytes(range(64)) + bytes(64) + bytes(range(128, 192))
    assert (known(host), len(host.hw.poison), len(host.xen.pmem.bad)) == ([], 0, 0)


@pytest.mark.parametrize("act", [media_errors.inject, media_errors.uninject])
@pytest.mark.parametrize("span", [Span(Spa(0x1000), 64), Span(Spa(1 << 50), 64), Span(Spa(0x443DF7000), 0)])
def test_only_persistent_memory(host, act, span):
    with pytest.raises(Constraint, match="is not persistent memory of one region"), host.change("trying"):
        act(host, [span])


@pytest.mark.parametrize(("start", "size"), [(1, 64), (0, 65), (0, 1)])
def test_clearing_takes_whole_units(host, bad, start, size):
    with pytest.raises(Constraint, match="begin and end on 64 bytes"), host.change("trying"):
        media_errors.clear(host, Span(Spa(bad.start + start), size))


def test_a_guest_is_reported_and_xen_maps_no_more_of_it(host):
    """The guest that has the memory gets notification 0x81; another one does not get the page."""
    config = load_config((CONFIGS / "quickstart.cfg").read_text(), "quickstart.cfg")
    domid = host.create(config)
    spa = Spa(host.domain(domid).record.vnvdimms[0].extents[0][0])
    with host.change("injecting"):
        media_errors.inject(host, [Span(spa, 64)])
    model = device_model(host.xen, host.xenstore, host.store, domid)
    assert (r"\_SB.NVDR", 0x81) in model.events
    host.destroy(domid)
    with pytest.raises(HypercallError, match="poisoned"):
        host.create(config)
    with host.change("clearing"):
        media_errors.clear(host, Span(spa, 512))
    host.create(config)


# -- what a failure leaves -------------------------------------------------------------------------------------------


class Failed(Exception):
    """Injected."""


def fail_after(step):
    step()
    raise Failed


def test_an_error_after_every_step_leaves_nothing(host, host_root, bad):
    with host.change("injecting"):
        media_errors.inject(host, [bad])
        host.hw.inject_health("dimm2", spares=5)

    def state(of):
        names = ("poison.json", "injected.json", "health.json")
        files = {name: (host_root / "hw" / name).read_bytes() for name in names}
        return files, known(of), list(of.hw.poison), of.hw.dimm("dimm2").health, list(of.xen.pmem.bad)

    before = state(host)
    more = Span(Spa(bad.start + 4096), 64)
    steps = (
        lambda: media_errors.inject(host, [more]),
        lambda: media_errors.inject(host, [more], notify=False),
        lambda: media_errors.uninject(host, [bad]),
        lambda: host.hw.inject_health("dimm2", spares=None, state="fatal"),
        lambda: host.hw.set_thresholds("dimm2", Thresholds(spares=50)),
        lambda: host.hw.poison.add(more),
    )
    for step in steps:
        with pytest.raises(Failed), host.change("failing"):
            fail_after(step)
        assert state(host) == before
    assert list((host_root / "hw" / "undo").iterdir()) == []
    assert state(Host.open(host_root)) == before


def test_an_inner_step_that_fails_leaves_the_outer_one(host, bad):
    with host.change("two steps"):
        media_errors.inject(host, [bad])
        with pytest.raises(Failed), host.store.savepoint():
            fail_after(lambda: media_errors.uninject(host, [bad]))
    assert media_errors.injected(host) == [bad]


def test_what_a_killed_command_left_is_taken_back(host, host_root, bad):
    """The process dies inside the change: its transaction is gone, the files are put right by the next command."""
    host.store.close()
    child = os.fork()
    if not child:
        dying = Host.open(host_root)
        with dying.change("dying"):
            media_errors.inject(dying, [bad])
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (host_root / "unclean").exists()
    assert len(Hardware.open(host_root).poison) == 1
    again = Host.open(host_root)
    assert (len(again.hw.poison), media_errors.injected(again), known(again)) == (0, [], [])
    assert not (host_root / "unclean").exists()


# -- health ----------------------------------------------------------------------------------------------------------


def test_injected_health(host, host_root):
    with host.change("injecting"):
        host.hw.inject_health("dimm0", media_temperature=90.5, spares=3, state="fatal")
    again = Host.open(host_root)
    assert again.hw.dimm("dimm0").health[:4] == ("fatal", 3, 0, 90.5)
    assert Thresholds().alarms(again.hw.dimm("dimm0").health) == ("spares", "media_temperature")
    with again.change("ending it"):
        again.hw.inject_health("dimm0", media_temperature=None, state=None)
        again.hw.set_thresholds("dimm0", Thresholds(spares=2, on=("spares",)))
    assert again.hw.dimm("dimm0").health[:4] == ("ok", 3, 0, 35)
    assert Host.open(host_root).hw.thresholds("dimm0") == Thresholds(spares=2, on=("spares",))
    assert Thresholds(spares=2).alarms(again.hw.dimm("dimm0").health) == ()


def test_health_has_known_fields_only(host):
    with pytest.raises(TypeError, match="no colour"):
        host.hw.inject_health("dimm0", colour="red")
