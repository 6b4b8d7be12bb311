"""`xlpy doctor`: what it tells of a host, whole or damaged, and what it never tells."""

from __future__ import annotations

import os
import shutil

import pytest

from xlpy.cli.failures import redact


def test_a_host_that_is_well(xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    told = xlpy("doctor", "--json").json
    assert told["schema"] == "xlpy.doctor/1"
    assert told["findings"] == []
    assert told["last_failure"] is None
    assert {"made": True, "domains": 1, "dimms": 3, "regions": 2, "xen": "4.17"}.items() <= told["host"].items()
    assert "capacity: 1G" in told["host"]["description"]
    assert told["root"]["mode"] == "0700"
    programs = {one["name"]: one for one in told["programs"]}
    assert programs["mke2fs"]["version"].startswith("mke2fs 1.")
    assert all(one["purpose"] and one["package"] for one in programs.values())


def test_the_text_says_the_same(xlpy):
    xlpy("destroy", "nobody", status=4)
    text = xlpy("doctor").out
    for words in ("XLPY-NOT-FOUND (exit status 4)", "xlpy destroy nobody", "mke2fs 1.", "| name: default"):
        assert words in text
    assert "finding:" not in text


def test_without_a_host_none_is_made(xlpy, tmp_path):
    root = tmp_path / "none"
    told = xlpy("--root", root, "doctor", "--json").json
    assert (told["root"]["exists"], told["host"]) == (False, {"made": False})
    xlpy("--root", root, "create", "no-such.cfg", status=4)
    assert not root.exists()


def test_the_last_failure_and_no_older_one(xlpy, host_root):
    xlpy("destroy", "nobody", status=4)
    xlpy("whereis", "spa", "0xfffffffff000", status=6)
    xlpy("list", "--nonsense", status=2)  # says nothing of the host
    failure = xlpy("doctor", "--json").json["last_failure"]
    assert failure["code"] == "XLPY-HW-NO-MEMORY"
    assert failure["command"] == "whereis spa 0xfffffffff000"
    assert "host show" in failure["hint"]
    assert (host_root / "last-failure").stat().st_mode & 0o777 == 0o600


def test_no_secrets(xlpy, configs, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush-1")
    path = tmp_path / "secret.cfg"
    path.write_text((configs / "quickstart.cfg").read_text() + 'vncpasswd = "hush-2"\nvncpasswd = "hush-3" oops\n')
    xlpy("create", path, 'vncpasswd="hush-4"', status=3)
    for shown in (xlpy("doctor").out, xlpy("doctor", "--json").out):
        assert "vncpasswd" in shown
        assert "hush" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('vncpasswd="a b"', "vncpasswd=***"),
        ("vnc=1,vncpasswd=ab,x=1", "vnc=1,vncpasswd=***,x=1"),
        ("passwd = 'x'", "passwd = ***"),
        ("api_token=1234 rest", "api_token=*** rest"),
        ('spicepasswd="cut', "spicepasswd=***"),
        ("memory=512", "memory=512"),
        ("/home/me/vm.cfg", "~/vm.cfg"),
        ("/home/meadow/vm.cfg", "/home/meadow/vm.cfg"),
    ],
)
def test_what_is_left_out(monkeypatch, text, shown):
    monkeypatch.setenv("HOME", "/home/me")
    assert redact(text) == shown


def _cut_state(root):
    os.truncate(root / "state.db", 3000)


def _other_state(root):
    (root / "state.db").write_bytes(b"not a database at all" * 400)


def _open_to_all(root):
    root.chmod(0o755)


def _interrupted(root):
    (root / "unclean").write_text("creating vm1 (pid 77)\n")


def _no_media(root):
    shutil.rmtree(root / "hw")


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (_cut_state, "cannot be read"),
        (_other_state, "cannot be read"),
        (_open_to_all, "open to other users: chmod -R go="),
        (_interrupted, "a command was interrupted (creating vm1 (pid 77))"),
        (_no_media, "there is no machine"),
    ],
)
def test_what_is_wrong_is_a_finding(xlpy, host_root, spoil, finding):
    spoil(host_root)
    before = sorted(path.name for path in host_root.rglob("*"))
    told = xlpy("doctor", "--json", status=10).json
    assert any(finding in one for one in told["findings"]), told["findings"]
    assert sorted(path.name for path in host_root.rglob("*")) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"when": "x", "details": 7}'])
def test_a_failure_that_somebody_wrote(xlpy, host_root, content):
    (host_root / "last-failure").write_bytes(content)
    xlpy("doctor")
    xlpy("doctor", "--json")


def test_a_root_that_cannot_be_written(xlpy, host_root, monkeypatch):
    """A failure is told all the same, and is not kept."""
    real = os.open

    def refuse(path, flags, *more, **options):
        if str(path).endswith("last-failure.new"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert "nobody" in xlpy("destroy", "nobody", status=4).err
    assert not (host_root / "last-failure").exists()
    assert xlpy("doctor", "--json").json["last_failure"] is None
