"""The page in a real browser: drawn, focused, searched, zoomed, in the dark, with hostile names; no errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import need
from views.test_picture import bank

from xlpy.api import load_config, whereis
from xlpy.views.picture.model import Capacity, Share, picture
from xlpy.views.picture.page import page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip, group test)")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--window-size=1400,900",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = need("chromium"), need("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(60)
    yield opened
    opened.quit()


@pytest.fixture
def show(browser, tmp_path):
    """Load the page of a picture; at the end there must be no message on the console."""

    def load(shown):
        file = tmp_path / "map.html"
        file.write_text(page(shown), encoding="utf-8", errors="backslashreplace")
        browser.get(file.as_uri())
        assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
        return browser

    yield load
    assert browser.get_log("browser") == []


def texts(browser, css):
    return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", css)


def search(browser, text):
    field = browser.find_element("id", "address")
    field.clear()
    field.send_keys(text)
    field.submit()
    return texts(browser, "#way li")


def test_everything_is_drawn(show):
    browser = show(bank())
    assert {"guest-physical memory", "host-physical memory", "DIMMs", "domain vm0", "dimm1"} <= set(
        texts(browser, "text")
    )
    assert len(browser.find_elements("css selector", "path.extent")) >= 2
    assert len(browser.find_elements("css selector", "path.ways")) == 2


@pytest.mark.parametrize("text", ["vm0:0x140001000", "/mnt/vm+0x1000", "dimm0:0x2000", "0x100004000"])
def test_search_by_any_address(show, text):
    """The second page of vm0 lies in frame 0x100004 of the host, line 4 of the set: dimm0, DPA 0x2000."""
    browser = show(bank())
    way = search(browser, text)
    assert "vm0: guest address 0x140001000" in way
    assert "host address 0x100004000, frame 0x100004" in way
    assert "dimm0, DPA 0x2000" in way
    assert len(browser.find_elements("css selector", "path.found")) == 3


def test_search_takes_any_address(show, host):
    """RAM of a guest and of the host, registers, DIMMs, namespaces, devices, files: the same byte by every name."""
    host.create(load_config(Path("configs/quickstart.cfg").read_text(), "quickstart.cfg"))
    pmem, ram = host.domain(1).record.vnvdimms[0], whereis.by_gpa(host, 1, 0x200000).at.spa
    byte = whereis.by_gpa(host, 1, pmem.gpa + 0x1000).at
    browser = show(picture(host))
    assert f"host address {ram:#x}, frame {ram >> 12:#x}" in search(browser, "quickstart:0x200000")
    assert "quickstart: guest address 0x200000, RAM" in search(browser, hex(ram))
    assert len(browser.find_elements("css selector", "path.found")) == 2
    assert "nothing is stored there" in search(browser, "quickstart:0xf3010000")[0]
    namespace = next(one for one in host.dom0.namespaces if one.dev == byte.namespace)
    window = host.dom0.device("/dev/pmem0").window
    names = [
        f"quickstart:{pmem.gpa + 0x1000:#x}",
        f"{pmem.path}+0x1000",
        f"/dev/pmem0+{byte.spa - window.start:#x}",
        f"namespace0.0+{byte.spa - namespace.span.start:#x}",
        f"region0+{byte.media.offset:#x}",
        f"{byte.dimm}:{byte.dpa:#x}",
    ]
    for name in names:
        way = search(browser, name)
        assert f"host address {byte.spa:#x}, frame {byte.mfn:#x}" in way, name
        assert f"{byte.dimm}, DPA {byte.dpa:#x}" in way, name
        assert f"vNVDIMM 0, {pmem.path}+0x1000" in way, name


def test_a_dimm_in_two_sets(show):
    """The second set begins 1 GiB into each of its DIMMs."""
    shown = bank()
    (region,) = shown.regions
    second = region._replace(name="region1", start=region.start + region.size, starts=[1 << 30] * 2)
    (machine,) = shown.columns[1]
    more = machine.segments[1]._replace(start=second.start, end=second.start + second.size, bands=[])
    cells = [one._replace(segments=[one.segments[0]._replace(end=2 << 30)]) for one in shown.columns[2]]
    columns = [shown.columns[0], [machine._replace(segments=[*machine.segments, more])], cells]
    browser = show(shown._replace(columns=columns, regions=[region, second]))
    assert f"dimm1, DPA {(1 << 30) + 5:#x}" in search(browser, hex(second.start + 4096 + 5))
    assert f"host address {second.start + 4096 + 5:#x}, frame {second.start + 4096 >> 12:#x}" in search(
        browser, f"dimm1:{(1 << 30) + 5:#x}"
    )


def test_search_for_nothing(show):
    browser = show(bank())
    assert search(browser, "vm9:0x0") == []
    assert "no such place" in texts(browser, "#what")[0]


def test_keyboard_focus_shows_the_way(show):
    browser = show(bank())
    browser.execute_script("document.querySelector('path.extent').focus()")
    assert any("vNVDIMM 0" in text for text in texts(browser, "#way li"))


def test_zoom_shows_each_line_of_the_interleave_set(show):
    browser = show(bank())
    search(browser, "0x100004000")
    for _ in range(16):
        browser.find_element("id", "in").click()
    assert {"dimm0", "dimm1"} <= set(texts(browser, "text"))
    assert browser.find_elements("css selector", "rect.stripe")


def test_tables_behind_the_drawing(show):
    browser = show(bank(extents=1200))
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    rows = browser.execute_script("return document.querySelectorAll('#tables details:last-child tbody tr').length")
    assert rows == 500  # the rest when asked for
    browser.execute_script("document.querySelector('#tables details:last-child button').click()")
    assert (
        browser.execute_script("return document.querySelectorAll('#tables details:last-child tbody tr').length") == 1000
    )


def test_dark(show, browser):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    show(bank())
    paper = browser.execute_script("return getComputedStyle(document.querySelector('svg')).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert paper == "rgb(18, 24, 31)"


@pytest.mark.parametrize("width", [400, 1600])
def test_narrow_and_wide(show, browser, width):
    """Nothing is cut off to the right; the picture has the page's width where that is small."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    show(bank())
    wide, there = browser.execute_script(
        "return [document.querySelector('#picture').clientWidth, document.documentElement.clientWidth]"
    )
    over = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert over <= 0
    assert wide >= min(there, 700) - 1


OVERLAPS = """
const boxes = [...document.querySelectorAll('svg text')].map(n => [n.textContent, n.getBoundingClientRect()]);
return boxes.flatMap(([one, a], i) => boxes.slice(i + 1).filter(([, b]) =>
  a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
  ).map(([other]) => [one, other]));
"""


@pytest.mark.parametrize("width", [400, 1600])
def test_no_name_lies_on_another(show, browser, host, width):
    """Of a host with namespaces, their parts and a file; all of them are named."""
    host.create(load_config(Path("configs/quickstart.cfg").read_text(), "quickstart.cfg"))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    show(picture(host))
    overlaps = browser.execute_script(OVERLAPS)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert overlaps == []
    assert {"namespace0.0 (fsdax)", "/dev/pmem0 on /mnt/pmem0", "/mnt/pmem0/vm1.img"} <= set(texts(browser, "text"))


def test_the_capacity_bar(show):
    shares = [Share("label areas", 100), Share("<b>usable</b>", 300)]
    browser = show(bank()._replace(ledger=[Capacity("namespace0.0", 400, shares)]))
    widths = browser.execute_script(
        "return [...document.querySelectorAll('.bar span')].map(s => s.getBoundingClientRect().width)"
    )
    assert widths[1] / sum(widths) == pytest.approx(0.75, abs=0.02)
    assert browser.execute_script("return document.querySelector('.bar').getAttribute('aria-label')") == (
        "label areas: 100 bytes; <b>usable</b>: 300 bytes"
    )
    assert browser.find_elements("css selector", "#capacity b") == []


def test_ten_thousand_names_with_markup(show):
    """Nothing in a name becomes an element or runs."""
    shown = bank(domains=1)
    (guest,) = shown.columns[0]
    segments = [
        type(guest.segments[0])(i << 12, i + 1 << 12, "ram", f"<img src=x onerror=document.title='run'>{i}", [])
        for i in range(10_000)
    ]
    browser = show(shown._replace(columns=[[guest._replace(segments=segments)], *shown.columns[1:]], backings=[]))
    assert browser.find_elements("css selector", "img") == []
    assert browser.title == "xlpy map: vm"


def test_large_bank_draws_by_level_of_detail(show):
    """40,000 extents: what falls on one pixel is one element, so that there are never many."""
    browser = show(bank(domains=64, extents=625, dimms=24))
    assert browser.execute_script("return document.querySelectorAll('svg *').length") < 12_000
