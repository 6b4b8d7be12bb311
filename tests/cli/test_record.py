"""`xlpy record` and `replay`: the same again on any machine, where it differs, and recordings that somebody made up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile

import pytest
from cli.conftest import CONFIGS
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.cli.recording import guard, kinds, sparse, state
from xlpy.dom0.ext4 import tools
from xlpy.errors import MissingTool, StateError

LINES = """
create -q {configs}/quickstart.cfg
mem write quickstart 0x500001000 --hex 68656c6c6f
pmem mkfile 1M /mnt/pmem0/x.img
save quickstart {here}/vm.save
restore {here}/vm.save
reboot quickstart
uptime
list --json
destroy nobody
"""


@pytest.fixture(scope="module")
def recordings(made_host, tmp_path_factory):
    """Recordings by what `xlpy run` is given and the status that it ends with; each is made once."""
    made = {}

    def get(text, status):
        if text not in made:
            here = tmp_path_factory.mktemp("here")
            copy_tree(made_host, here / "root")
            (here / "lines").write_text(text.format(configs=CONFIGS, here=here))
            words = [sys.executable, "-m", "xlpy", "record", "bug", "--", sys.executable, "-m", "xlpy", "run", "lines"]
            environment = os.environ | {"XLPY_ROOT": str(here / "root"), "PYTHONPATH": str(CONFIGS.parent)}
            done = subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
            made[text] = here
        return made[text]

    return get


@pytest.fixture
def recorded(recordings, tmp_path):
    """A copy of a recording of some lines."""

    def record(text=LINES, status=4):
        shutil.copy(recordings(text, status) / "bug", tmp_path / "bug")
        return tmp_path / "bug"

    return record


@pytest.fixture
def here(recordings):
    """Where the usual lines were recorded."""
    return recordings(LINES, 4)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to another machine: other folders, another home, no e2fsprogs, and no host. Gives its folder."""

    def go():
        place = tmp_path / "elsewhere"
        place.mkdir()
        monkeypatch.chdir(place)
        for name in ("HOME", "TMPDIR", "XLPY_ROOT"):
            monkeypatch.setenv(name, str(place / name))
        (place / "TMPDIR").mkdir()
        monkeypatch.setattr("tempfile.tempdir", None)

        def missing(program):
            raise MissingTool(program, "e2fsprogs")

        monkeypatch.setattr(tools, "find_program", missing)
        return place

    return go


def index(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("recording.json"))


def altered(path, change):
    """The recording with a changed index."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    fields = json.loads(content["recording.json"])
    change(fields)
    content["recording.json"] = json.dumps(fields).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_the_same_again_on_another_machine(xlpy, recorded, elsewhere):
    """Also with a file that a command made and a later one reads, clocks, random numbers, and a command that fails."""
    path = recorded()
    place = elsewhere()
    shown = xlpy("replay", path)
    assert shown.out.count("the same") == 9
    assert xlpy("replay", path, "--json").json == {
        "schema": "xlpy.replay/1",
        "path": str(path),
        "commands": 9,
        "differs": None,
        "kept": None,
    }
    assert [item.name for item in place.rglob("*")] == ["TMPDIR"]  # nothing was left behind, no host was made


def test_a_host_that_is_made_while_it_is_recorded(xlpy, recorded, elsewhere):
    """What mke2fs did is in the recording: that of another machine would do something else."""
    path = recorded("--root {here}/made create -q {configs}/quickstart.cfg\n", 0)
    assert "mke2fs" in [one["program"] for one in index(path)["commands"][0]["programs"]]
    elsewhere()
    assert xlpy("replay", path).out.count("the same") == 1


def test_what_is_in_it(recorded, here):
    found = index(recorded())
    assert found["schema"] == "xlpy.recording/1"
    assert found["about"]["host"]["description"].startswith("# The machine")
    commands = found["commands"]
    names = "create mem pmem save restore reboot uptime list destroy"
    assert " ".join(one["words"][0] for one in commands) == names
    assert commands[0]["before"]
    assert list(commands[0]["inputs"]) == [str(CONFIGS / "quickstart.cfg")]
    assert "urandom" in [name for name, _ in commands[0]["chance"]]
    assert {one["program"] for one in commands[2]["programs"]} == {"debugfs"}
    assert commands[3]["outputs"] == list(commands[4]["inputs"]) == [str(here / "vm.save")]
    assert {one["root"] for one in commands} == {str(here / "root")}
    assert commands[-1]["status"] == 4
    assert "state: libxl" in commands[0]["state"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.update(status=0), "exit status: 0 then, 4 now"),
        (lambda one: one.update(err="error: other\n"), "messages: line 1 was 'error: other', is 'error: nobody"),
        (lambda one: one["state"].update({"state: libxl": "00"}), "state: libxl differs"),
        (lambda one: one["state"].pop("machine.yaml"), "machine.yaml is new"),
        (lambda one: one["state"].update({"hw/gone": "00"}), "hw/gone is missing"),
    ],
)
def test_it_says_at_which_command_it_does_not_match(xlpy, recorded, change, message):
    path = altered(recorded(), lambda fields: change(fields["commands"][8]))
    shown = xlpy("replay", path, status=10)
    assert "command 9 does not match: xlpy destroy nobody" in shown.out
    assert message in shown.out
    differs = xlpy("replay", path, "--json", status=10).json["differs"]
    assert (differs["number"], differs["words"]) == (9, ["destroy", "nobody"])


def test_another_configuration_differs_at_its_command(xlpy, recorded, tmp_path, monkeypatch):
    """A changed xlpy: it gives domains another number of vCPUs."""
    from xlpy.toolstack.config.domain_config import DomainConfig

    path = recorded()
    monkeypatch.setattr(DomainConfig, "vcpus", 1)
    assert "command 1 does not match: xlpy create" in xlpy("replay", path, status=10).out


def test_more_random_numbers_than_then(xlpy, recorded):
    path = altered(recorded(), lambda fields: fields["commands"][0].update(chance=[]))
    assert "it asks for" in xlpy("replay", path, status=10).out


def test_commands_that_are_not_run_again(xlpy, recorded, elsewhere):
    """Their effect is put back, and what comes after them goes on from there."""
    path = recorded(
        """
        config check {configs}/quickstart.cfg
        export --dom0 emulated {configs}/quickstart.cfg -o {here}/exported
        pmem list --json
        doctor
        """,
        0,
    )
    elsewhere()
    shown = xlpy("replay", path).out.splitlines()
    assert [line.split()[1] for line in shown] == ["skipped", "applied", "the", "skipped"]


def test_it_stays_in_its_folder(xlpy, recorded, here, tmp_path):
    """Files of then are made below it, and the host of then is not touched."""
    path, root = recorded(), here / "root"
    before, saved = state.fingerprint(str(root)), (here / "vm.save").stat()
    xlpy("replay", path, "--keep", tmp_path / "kept")
    assert (here / "vm.save").stat() == saved
    assert (tmp_path / "kept" / (here / "vm.save").relative_to("/")).exists()
    assert state.fingerprint(str(root)) == before
    assert "quickstart" in xlpy("--root", tmp_path / "kept" / root.relative_to("/"), "list").out
    assert "kept: File exists" in xlpy("replay", path, "--keep", tmp_path / "kept", status=5).err


@pytest.mark.parametrize(
    "words",
    [
        ["save", "quickstart", "{evil}"],
        ["map", "--svg", "{evil}"],
        ["dump-core", "quickstart", "{evil}"],
        ["--root", "{evil}", "host", "init"],
        ["mem", "read", "quickstart", "0", "4K", "-o", "{evil}"],
    ],
)
def test_a_recording_that_was_made_up_changes_nothing_outside(xlpy, recorded, tmp_path, words):
    evil = tmp_path / "evil"
    words = [word.format(evil=evil) for word in words]
    path = altered(recorded(), lambda fields: fields["commands"][1].update(words=words))
    assert "command 2 does not match" in xlpy("replay", path, status=10).out
    assert not evil.exists()


def test_a_recording_that_was_made_up_starts_nothing(xlpy, recorded, tmp_path):
    program, mark = tmp_path / "program", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    words = ["boot", "quickstart", "--kernel", "/bin/sh", "--qemu", str(program)]
    path = altered(recorded(), lambda fields: fields["commands"][1].update(words=words))
    assert "command 2 does not match" in xlpy("replay", path, status=10).out
    assert not mark.exists()


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: (folder / "x").write_text(""),
        lambda folder: (folder / "x").mkdir(),
        lambda folder: (folder / "there").unlink(),
        lambda folder: (folder / "there").rename(folder / "x"),
        lambda folder: (folder / "there").chmod(0o777),
        lambda folder: os.truncate(folder / "there", 0),
        lambda folder: (folder / "x").symlink_to("/etc/passwd"),
        lambda folder: os.open(folder / "there", os.O_RDWR),
        lambda folder: (folder / "in" / "link" / "x").write_text(""),
        lambda folder: sqlite3.connect(folder / "x"),
        lambda _folder: subprocess.run(["true"], check=True),
        lambda _folder: os.system("true"),
        lambda _folder: os.kill(os.getpid(), 0),
        lambda _folder: socket.create_connection(("127.0.0.1", 1)),
    ],
)
def test_the_guard(tmp_path, act):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "there").write_text("content")
    with guard.only_in(str(tmp_path / "in")):
        with pytest.raises(PermissionError, match="a replay"):
            act(tmp_path)
        (tmp_path / "in" / "mine").write_text("content")
        (tmp_path / "there").read_text()
    (tmp_path / "there").write_text("content")  # nothing is left of it


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["commands"][0].update(before="../../etc/passwd"),
        lambda fields: fields["commands"][0].update(inputs={"/x": "00" * 16}),
        lambda fields: fields["commands"][0].update(words=7),
        lambda fields: fields["commands"][0].update(words=[7]),
        lambda fields: fields["commands"][0].pop("cwd"),
        lambda fields: fields["commands"][0].update(root=None),
        lambda fields: fields["commands"][1].update(chance=[[]]),
        lambda fields: fields["commands"][1].update(chance=7),
        lambda fields: fields["commands"][0].update(state=[]),
        lambda fields: fields["commands"][0].update(environment=[1]),
        lambda fields: fields["commands"][2].update(programs=[{}]),
        lambda fields: fields.update(commands=7),
        lambda fields: fields.update(commands=[7]),
        lambda fields: fields.update(schema=7),
        lambda fields: fields.update(schema="xlpy.recording/x"),
        lambda fields: fields.pop("schema"),
    ],
)
def test_what_is_no_recording(xlpy, recorded, tmp_path, change):
    path = altered(recorded("list\ncreate -q {configs}/quickstart.cfg\npmem mkfile 4K /mnt/pmem0/x\n", 0), change)
    status = run(["replay", str(path)])
    assert status in (3, 6, 10)


@pytest.mark.parametrize("instead", [[], 7, "x", None])
def test_an_index_that_is_none(xlpy, recorded, instead):
    path = recorded("list\n", 0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recording.json", json.dumps(instead))
    assert "not as xlpy record writes it" in xlpy("replay", path, status=6).err


def test_a_newer_version(xlpy, recorded):
    path = altered(recorded("list\n", 0), lambda fields: fields.update(schema="xlpy.recording/2", xlpy="9.0"))
    shown = xlpy("replay", path, status=6).err
    assert "is of version 2, this xlpy reads version 1" in shown
    assert "9.0" in shown


def test_a_file_that_was_cut_or_altered(xlpy, recorded):
    path = recorded("list\n", 0)
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 9):
        path.write_bytes(whole[:at])
        assert run(["replay", str(path)]) in (3, 6), at
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert run(["replay", str(path)]) in (0, 3, 6, 10), at


def test_names_that_lead_out_of_the_folder(tmp_path):
    blob = state.snapshot(_host(tmp_path))
    evil = tmp_path / "snapshot.zip"
    evil.write_bytes(blob)
    with zipfile.ZipFile(evil, "a") as archive:
        archive.writestr("../../evil", sparse.pack([], 0))
    with pytest.raises(StateError, match="snapshot with the name"):
        state.put_back(evil.read_bytes(), str(tmp_path / "a" / "b"), 1 << 20)
    assert not (tmp_path / "evil").exists()


def _host(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "state.db").write_bytes(b"x")
    return str(tmp_path / "root")


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000, 1 << 20, (1 << 20) + 5])
def test_pages_of_a_file_come_back(tmp_path, size):
    path, copy = tmp_path / "file", tmp_path / "copy"
    data = bytearray(size)
    for at in range(100, size, 9000):
        data[at] = 1
    path.write_bytes(data)
    with path.open("rb") as file:
        blob = sparse.pack(sparse.pages(file.fileno()), size)
    state.apply(blob, copy, 1 << 22)
    assert copy.read_bytes() == data
    with pytest.raises(StateError):
        sparse.unpack(blob[: len(blob) // 2], 1 << 22)
    if size > 4096:
        with pytest.raises(StateError, match="too many"):
            sparse.unpack(blob, 100)


def test_changed_pages(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 4096 + bytes(4096) + b"b" * 4096)
    with path.open("r+b") as file:
        before = sparse.checks(file.fileno())
        file.seek(0)
        file.write(bytes(4096) + b"c" * 4096)
        file.flush()
        assert dict(sparse.changed(file.fileno(), before)) == {0: bytes(4096), 4096: b"c" * 4096}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("list", "list"),
        ("--root /x -v pmem list --json", "pmem list"),
        ("--root=/x pmem list", "pmem list"),
        ("export vm.cfg", "export"),
        ("export check", "export check"),
        ("-q", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_command(line, name):
    assert kinds.name_of(line.split()) == name


def test_a_command_that_runs_no_xlpy(xlpy, tmp_path):
    shown = xlpy("record", tmp_path / "bug", "--", "false", status=1)
    assert "nothing was recorded" in shown.err
    assert "there are no commands in it" in xlpy("replay", tmp_path / "bug").err


@pytest.mark.parametrize(("command", "status"), [("/nosuch/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run(xlpy, tmp_path, command, status):
    assert command in xlpy("record", tmp_path / "bug", "--", command, status=status).err


def test_a_file_that_cannot_be_written(xlpy, tmp_path):
    seen = tmp_path / "seen"
    assert "No such file" in xlpy("record", tmp_path / "none" / "bug", "--", "touch", seen, status=4).err
    os.mkfifo(tmp_path / "fifo")
    assert "Is a FIFO, not a file" in xlpy("record", tmp_path / "fifo", "--", "touch", seen, status=6).err
    assert (tmp_path / "fifo").is_fifo()
    assert not seen.exists(), "it is known before COMMAND is run"


def test_a_recording_inside_a_recording(xlpy, monkeypatch, tmp_path):
    monkeypatch.setenv("XLPY_RECORDING", str(tmp_path))
    assert run(["record", "x", "--", "true"]) == 2


def test_ctrl_c_keeps_what_there_is(host_root, tmp_path):
    environment = os.environ | {"XLPY_ROOT": str(host_root)}
    script = f"{sys.executable} -m xlpy list; touch {tmp_path}/there; sleep 60"
    words = [sys.executable, "-m", "xlpy", "record", str(tmp_path / "bug"), "--", "sh", "-c", script]
    process = subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    for _ in range(600):
        if (tmp_path / "there").exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert [one["words"] for one in index(tmp_path / "bug")["commands"]] == [["list"]]
