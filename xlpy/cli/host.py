"""``xlpy host``, ``info`` and ``dmesg``: the machine and the hypervisor."""

from __future__ import annotations

from xlpy.addr import format_size
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import dry_run_option, json_option
from xlpy.cli.render import json_document, table
from xlpy.cli.show import out
from xlpy.cli.types import Choice, FilePath, IntRange
from xlpy.errors import Conflict, NotFound, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.views.machine import HostInfo

machine_option = option("--machine", type=FilePath(), help="Machine description (YAML).")


@command("""
xlpy host init
xlpy --root big host init --machine configs/machines/interleaved.yaml
""")
@machine_option
@dry_run_option
@json_option
def init(env: Env, machine: Path | None, as_json: bool) -> None:
    """Make the host from a machine description, or from the default machine.

    Every command makes the default host when there is none; this one is for other machines.
    """
    from xlpy.host import Host

    where = Host.directory(env.root)
    if env.dry_run:
        spec = Host.describe(machine)
        if (where / "state.db").exists():
            raise Conflict(f"{where} holds a host already", hint="replace it with: xlpy host reset --machine FILE")
        _made(as_json, str(where), spec.name, dry_run=True)
        return
    made = Host.make(env.root, machine, env.note, xen=env.xen)
    _made(as_json, str(where), made.spec.name, dry_run=False)


def _made(as_json: bool, root: str, name: str, dry_run: bool) -> None:
    if as_json:
        json_document("xlpy.host-init/1", root=root, machine=name, dry_run=dry_run)


@command("""
xlpy host show
""")
@json_option
def show(env: Env, as_json: bool) -> None:
    """Show the machine: DIMMs, interleave sets, and the regions that they are. Devices: xlpy pmem list."""
    from xlpy.views.machine import machine as describe

    described = describe(env.host)
    if as_json:
        json_document("xlpy.host-show/1", **described.to_json())
        return
    out(
        f"machine {described.name} in {described.root}: {format_size(described.ram)} RAM, "
        f"{described.cpus} CPUs, {described.physical_bits}-bit physical addresses"
    )
    table(
        env,
        ("DIMM", "HANDLE", "CAPACITY", "LABELS", "SERIAL", "HEALTH", "REGION"),
        [
            (
                d.id,
                f"{d.handle:#x}",
                format_size(d.capacity),
                format_size(d.label_size),
                f"{d.serial:08x}",
                d.health,
                f"{d.region}, pulled out" if d.out else d.region or "-",
            )
            for d in described.dimms
        ],
    )
    out("")
    table(
        env,
        ("REGION", "SPA", "SIZE", "WAYS", "LINE", "DIMMS", "MEDIA"),
        [
            (
                r.name,
                f"{r.spa:#x}",
                format_size(r.size),
                len(r.dimms),
                format_size(r.line),
                ",".join(r.dimms),
                r.media,
            )
            for r in described.regions
        ],
    )


@command("""
xlpy host reset
xlpy host reset --machine configs/machines/interleaved.yaml
""")
@machine_option
@option("--keep-media", is_flag=True, help="Keep media and labels; only the state of Xen and Dom0 starts anew.")
@dry_run_option
@json_option
def reset(env: Env, machine: Path | None, keep_media: bool, as_json: bool) -> None:
    """Remove the host and make it anew: all media, labels and domains are lost, unless --keep-media."""
    from xlpy.host import Host

    if keep_media and machine:
        raise UsageError("--keep-media keeps the machine, --machine replaces it", hint="choose one of them")
    where = Host.directory(env.root)
    name = "" if keep_media else Host.describe(machine).name
    if not env.dry_run:
        made = (
            Host.restart(env.root, env.note, env.xen)
            if keep_media
            else Host.make(env.root, machine, env.note, anew=True, xen=env.xen)
        )
        name = made.spec.name
    elif keep_media:
        from xlpy.replacing import description

        name = description(where)[1].name
    if as_json:
        json_document("xlpy.host-reset/1", root=str(where), machine=name, dry_run=env.dry_run)


@command("""
xlpy host power cut --seed 7
xlpy host power on
xlpy create configs/quickstart.cfg
xlpy mem write --no-flush quickstart 0x500001000 --hex 4e414d45
xlpy host power cut --keep quickstart@0x500001000
xlpy host power on
xlpy host power cut --writing dimm0@0x100=4e414d45
""")
@argument("action", type=Choice(["cut", "on"]), metavar="cut|on")
@option("--seed", type=IntRange(0), default=0, metavar="N", help="Which of the stores that are not safe are lost.")
@option(
    "--keep",
    default="random",
    metavar="random|all|none|LINES",
    help="Keep some of them by the seed (default), all, none, or those of LINES: ADDRESS[:N],...",
)
@option("--writing", multiple=True, metavar="AREA@OFFSET=HEX", help="A label write that is in flight.")
@dry_run_option
@json_option
def power(env: Env, action: str, seed: int, keep: str, writing: tuple[str, ...], as_json: bool) -> None:
    """Cut the machine's power, or switch it on again: BIOS, Xen and Dom0 boot anew on the media that are there.

    A failure ends all domains. Of each cache line that was stored to and not made durable it leaves a prefix of the
    stores: LINES keep N of theirs, or all, the others none; an address is the host's, or DOMAIN@ADDRESS a guest's. A
    label write in flight, of a DIMM's area or of DOMAIN/SLOT, is torn by the same choice. See `mem write --no-flush`,
    `mem flush`, `mem fence`.
    """
    from xlpy.host import Host

    if action == "on":
        if not env.dry_run:
            Host.restart(env.root, env.note)
        if as_json:
            json_document("xlpy.host-power/1", action=action, dry_run=env.dry_run)
        return
    from xlpy.events.power import cut

    found = cut(env.host, keep, seed, writing, dry_run=env.dry_run)
    if as_json:
        json_document("xlpy.host-power/1", action=action, dry_run=env.dry_run, **found._asdict())
        return
    ended = ", ".join(found.domains) or "none"
    env.note(f"{found.lines} lines were not safe, {len(found.lost)} lost stores; domains ended: {ended}")
    for text, left in zip(writing, found.labels, strict=True):
        env.note(f"{text}: {left} bytes were written")
    for dimm in found.dirty:
        env.note(f"{dimm}: its queue could not be written, the shutdown is dirty")


@command("""
xlpy dmesg
""")
@option("-c", "--clear", is_flag=True, help="Clear the log after printing it.")
@dry_run_option
@json_option
def dmesg(env: Env, clear: bool, as_json: bool) -> None:
    """Print the hypervisor's log: hypercalls and their outcome, and what hvmloader said."""
    lines = env.host.dmesg(clear and not env.dry_run)
    if as_json:
        json_document("xlpy.dmesg/1", items=lines)
    else:
        out(*lines)


@command("""
xlpy info
xlpy info free_memory
""")
@argument("key", required=False)
@option("-n", "--numa", is_flag=True, help="Also the topology: CPUs and NUMA nodes.")
@json_option
def info(env: Env, key: str | None, numa: bool, as_json: bool) -> None:
    """Describe the host, with xl's keys; KEY chooses those that begin with it."""
    from xlpy.views.machine import info as facts_of

    told = facts_of(env.host)
    facts = told._asdict()
    if as_json:
        json_document("xlpy.info/1", **facts)
        return
    chosen = {name: value for name, value in facts.items() if name.startswith(key or "")}
    if not chosen:
        raise NotFound(f"xlpy info has no key that begins with {key!r}", hint="xlpy info lists all")
    for name, value in chosen.items():
        out(value if key else f"{name:<23}: {value}")
        if numa and name == "free_cpus" and not key:
            _print_topology(told)


def _print_topology(facts: HostInfo) -> None:
    """xl's two tables: a socket for each node, and RAM in the first."""
    from xlpy.toolstack.config.reading.reader import HostFacts

    machine = HostFacts(facts.nr_cpus, facts.nr_nodes)
    out("cpu_topology           :", "cpu:    core    socket     node")
    for node in range(machine.nodes):
        for core, cpu in enumerate(machine.node_cpus(node)):
            out(f"{cpu:3d}:    {core:4d}     {node:4d}     {node:4d}")
    out("numa_info              :", "node:    memsize    memfree    distances")
    for node in range(machine.nodes):
        size, free = (0, 0) if node else (facts.total_memory, facts.free_memory)
        distances = ",".join("10" if other == node else "20" for other in range(machine.nodes))
        out(f"{node:4d}:    {size:6d}     {free:6d}      {distances}")
