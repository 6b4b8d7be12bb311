"""Every command prints JSON that fits its schema: whole commands in the order of a domain's life.

What boots, exports to a real Xen or reads traces is printed in tests of its own.
"""

import json
import re
from pathlib import Path

import json_schemas
import pytest

import xlpy as package

LINES = """
host show
info
pmem list
pmem mkfile 2M /mnt/pmem0/new.img
pmem prepare /mnt/pmem0/new.img
pmem resolve /mnt/pmem0/new.img
pmem write /mnt/pmem0/new.img 0 --hex 00
pmem read /mnt/pmem0/new.img 0 4
pmem account
create -n {configs}/quickstart.cfg
create --explain {configs}/quickstart.cfg
create {configs}/quickstart.cfg
list
vm-list
vcpu-list
uptime
cpupool-list
pci-assignable-list
dmesg
domid quickstart
domname 1
map quickstart
console quickstart
mem write quickstart 0x500000000 --hex 00
mem read quickstart 0x500000000 4
mem flush quickstart 0x500000000 64
mem fence
whereis gpa quickstart 0x500000000
guest probe quickstart
acpi dump quickstart
acpi namespace quickstart
acpi eval quickstart \\_SB.NVDR.NV00._LSI
acpi check quickstart
acpi check --codes
acpi diff quickstart quickstart
xenstore ls /local/domain/1/name
xenstore read /local/domain/1/name
xenstore write /local/domain/1/data/x y
nvdimm-list quickstart
nvdimm-attach quickstart file=/mnt/pmem0/new.img
nvdimm-detach -f quickstart 1
block-list quickstart
block-attach quickstart {image},raw,xvdb,w
block-detach quickstart xvdb
network-list quickstart
vcpu-set quickstart 1
vcpu-pin quickstart 0 0 -
sched-credit2 -d quickstart
sched-credit2 -d quickstart -w 512
pmem account --want 100M
mem-set quickstart 256
mem-max quickstart 512
config-update quickstart {configs}/quickstart.cfg
debug-keys h
mceinj -d 1 -t 0 -n
pause quickstart
unpause quickstart
trigger quickstart power -n
sysrq quickstart c -n
rename quickstart other
save -c other {tmp}/saved
dump-core other {tmp}/core
shutdown -n other
reboot -n other
destroy other
restore {tmp}/saved
--root {tmp}/second host init
migrate other {tmp}/second
config check {configs}/quickstart.cfg
explain XLPY-USAGE
help exit-codes
doctor
host power cut
host power on
host umount /mnt/pmem0
host mount /dev/pmem0 /mnt/pmem0
host plug {configs}/plug.yaml
host unplug set2
record {tmp}/bug -- true
replay {tmp}/bug
export {configs}/quickstart.cfg -o {tmp}/exported
export check {tmp}/exported/quickstart.json
export release {tmp}/exported/quickstart.json
host reset -n
"""


@pytest.fixture(scope="module")
def lines():
    return LINES.strip().splitlines()


def test_every_command_in_the_life_of_a_domain(xlpy, configs, tmp_path, lines):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    for line in lines:
        words = line.format(configs=configs, image=image, tmp=tmp_path).split()
        try:
            at = words.index("--") if "--" in words else len(words)
            printed = xlpy(*words[:at], "--json", *words[at:]).out
        except AssertionError as error:
            raise AssertionError(f"{line}: {error}") from error
        for text in [printed] if printed.startswith("{\n") else printed.splitlines():
            json_schemas.check(json.loads(text))


def test_every_schema_is_used_and_every_document_has_one():
    source = "\n".join(path.read_text() for path in Path(package.__file__).parent.rglob("*.py"))
    named = {name.replace("/", "-") for name in re.findall(r'"xlpy\.([a-z0-9.-]+/[0-9]+)"', source)}
    files = {path.stem for path in json_schemas.FOLDER.glob("*.json")}
    composed = {"sysrq-1", "trigger-1"}  # of the name of the command
    assert named - {"powercut-1"} | composed == files  # powercut: a file that `trace cut` keeps, and no output


def test_the_pages_are_current():
    from tools import commands, schemas

    assert commands.PAGE.read_text() == commands.page(), "python -m tools.commands"
    assert schemas.PAGE.read_text() == schemas.page(), "python -m tools.schemas docs"
