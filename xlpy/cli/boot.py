"""``xlpy boot``: a real kernel on a domain."""

from __future__ import annotations

from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import flush, out
from xlpy.cli.types import FilePath, Seconds
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.powercut.record import Recorder


@command("""
eval "$(python3 guest/kit.py)"
xlpy boot quickstart --kernel "$KERNEL" --initrd "$INITRD" --append quiet --timeout 120
xlpy boot quickstart --kernel "$KERNEL" --initrd "$INITRD" -- -device virtio-rng-pci
""")
@domain_argument
@option("--kernel", required=True, type=FilePath(), metavar="BZIMAGE", help="Linux kernel.")
@option("--initrd", type=FilePath(), metavar="FILE", help="Initial RAM disk.")
@option("--append", default="", metavar="TEXT", help="Words for the kernel's command line.")
@option("--timeout", type=Seconds(some=True), metavar="S", help="Seconds the guest may take.")
@option("--stage", is_flag=True, help="Work on copies of the vNVDIMMs, written back afterwards.")
@option(
    "--memory-file-dir",
    "folder",
    type=FilePath(out="folder"),
    metavar="DIR",
    help="Where memory files go (else the domain's directory); the guest's RAM stays there afterwards.",
)
@option("--record", type=FilePath(out="folder"), metavar="DIR", help="Record a trace for `xlpy trace` there.")
@option(
    "--qemu",
    "program",
    default="",
    metavar="PATH",
    help="Another QEMU than $XLPY_QEMU or the one on PATH; guest/kit.py --qemu unpacks those of other Debian suites.",
)
@option("--print-command", is_flag=True, help="Print the emulator's command line, and start nothing.")
@dry_run_option
@json_option
@argument("qemu_args", nargs=-1, metavar="[-- QEMU-ARGS]")
def boot(
    env: Env,
    domain: str,
    kernel: Path,
    initrd: Path | None,
    append: str,
    timeout: float | None,
    stage: bool,
    folder: Path | None,
    record: Path | None,
    program: str,
    print_command: bool,
    as_json: bool,
    qemu_args: tuple[str, ...],
) -> None:
    """Boot an unmodified Linux kernel on a domain, under QEMU, until it powers off.

    QEMU serves as the processor: memory map, ACPI tables, SMBIOS (but for its processors) and persistent memory are the
    domain's own, and its device model answers the guest's _DSM. What the guest writes to a vNVDIMM is on the host's
    media, what it writes to labels in the vNVDIMM's label area. RAM is a copy, so each boot starts from what `create`
    built; a domain that has powered off is listed as shut down and can be booted again. From a vNVDIMM with mode=ro the
    guest can only read.

    The serial console goes to stdout (with --json to stderr), the keyboard to the guest; Ctrl-C ends the guest at once.
    Exit status 0: the guest powered off. 6: time was up (XLPY-BOOT-TIMEOUT), the guest reset itself, as after a panic
    (XLPY-BOOT-RESET), another command ended the domain (XLPY-BOOT-ENDED), or QEMU failed (XLPY-BOOT-QEMU).
    """
    from xlpy.boot.options import BootOptions
    from xlpy.boot.run import Boot
    from xlpy.events.power import settle

    host = env.host
    options = BootOptions(kernel, initrd, append, timeout, stage, folder, qemu_args, record, program)
    made = Boot(host.xen, host.xenstore, host.store, host.domid(domain), options, env.note, env.step)
    if print_command or env.dry_run:
        _show(env, made.command(), made.plan.notes, as_json=as_json, wanted=print_command)
        return
    flush()
    settle(host)
    try:
        outcome = made.run(2 if as_json else 1)
    finally:
        if made.recorder is not None and made.recorder.begun:
            _end_recording(env, domain, made.recorder, made.complaints)
    if as_json:
        json_document("xlpy.boot/1", domain=domain, notes=made.plan.notes, **outcome._asdict())


def _end_recording(env: Env, domain: str, recorder: Recorder, complaints: str) -> None:
    """Say in the trace which block devices the guest makes of its namespaces."""
    from xlpy.guest.probe import probe
    from xlpy.powercut.record import remarks
    from xlpy.powercut.trace import TracedDevice

    try:
        found = [TracedDevice(one.dev, one.mode, one.start, one.size) for one in probe(env.host.domain(domain)).pmem]
    except XlpyError as error:
        env.warn(f"the trace names no block devices: {error}")
        found = []
    recorder.end(complaints, found)
    for remark in remarks(complaints):
        env.warn(remark)


def _show(env: Env, command: list[str], notes: tuple[str, ...], *, as_json: bool, wanted: bool) -> None:
    import shlex

    if as_json:
        json_document("xlpy.boot-command/1", command=command, notes=notes)
        return
    for note in notes:
        env.note(note)
    if wanted:
        out(shlex.join(command))
