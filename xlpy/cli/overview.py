"""Lists of domains and their vCPUs: ``xlpy list``, ``vm-list``, ``vcpu-list``, ``uptime``, ``cpupool-list``."""

from __future__ import annotations

import time

from xlpy.addr import PAGE
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import json_option
from xlpy.cli.show import binary, exact, out
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.cli.env import Env
    from xlpy.host import Host
    from xlpy.views.overview import Vcpu

DAY = 86400

domains_argument = argument("domains", nargs=-1, metavar="[DOMAIN]...", shell_complete="domains")


@command("""
xlpy list
xlpy list --json | jq '.items[].name'
""")
@argument("domain", required=False, shell_complete="domains")
@option("-l", "--long", "as_long", is_flag=True, help="Print the configurations as JSON, as libxl has them.")
@option("-v", "--verbose", is_flag=True, help="Also UUID, shutdown reason and security label.")
@option("-Z", "--context", is_flag=True, help="Also the security label.")
@option("-c", "--cpupool", is_flag=True, help="Also the CPU pool.")
@option("-n", "--numa", is_flag=True, help="Also the NUMA node affinity.")
@json_option
def list_domains(
    env: Env,
    domain: str | None,
    as_long: bool,
    verbose: bool,
    context: bool,
    cpupool: bool,
    numa: bool,
    as_json: bool,
) -> None:
    """List domains, as xl does.

    \b
    The letters of a state stand for:
      r  running                   s  shut down, then the reason:
      b  blocked (asleep in S3)       - power off  r reboot  s suspend
      p  paused                       c crash  w watchdog  S soft reset
      d  being destroyed
    """
    from xlpy.views import listing

    host = env.host
    domids = [host.domid(domain)] if domain is not None else listing.domids(host)
    if as_json:
        from xlpy.cli.render import json_items

        json_items("xlpy.list/1", [listing.summary(host, domid).to_json() for domid in domids if domid])
        return
    if as_long:
        from xlpy.toolstack.config.libxl_json import dumps

        if 0 in domids:
            remember_dom0(host)
        binary().write(dumps([listing.long(host, domid) for domid in domids]) + b"\n")
        return
    header = f"{'Name':<44}ID   Mem VCPUs\tState\tTime(s)"
    if verbose:
        header += "   UUID                            Reason-Code\tSecurity Label"
    elif context:
        header += "   Security Label"
    exact([header, "         Cpupool" if cpupool else "", " NODE Affinity" if numa else "", "\n"])
    if cpupool:
        from xlpy.views.overview import POOL as pool  # noqa: N811
    for domid, row in zip(domids, listing.rows(host, domids), strict=True):
        line = f"{row.name:<40} {domid:5d} {row.memory_mb:5d} {row.vcpus:5d}     {row.state}  {row.seconds:8.1f}"
        if verbose:
            line += f" {row.uuid} {row.reason:>8}"
        if verbose or context:
            line += f" {'-':>16}"
        out(line + (f"{pool:>16}" if cpupool else "") + (" all" if numa else ""))


def remember_dom0(host: Host) -> None:
    """Dom0's memory goes to xenstore when libxl first looks for it there."""
    home, kib = "/local/domain/0/memory", str(host.xen.domain(0).pages * PAGE // 1024)
    connection = host.xenstore.connection(0)
    if connection.read_or_none(f"{home}/target") is None:
        with host.looking("list -l"):
            for leaf in ("target", "static-max"):
                connection.write(f"{home}/{leaf}", kib)


@command("""
xlpy vm-list
""")
@json_option
def vm_list(env: Env, as_json: bool) -> None:
    """List the UUID, id and name of every domain."""
    from xlpy.views.overview import vms

    rows = vms(env.host)
    if as_json:
        from xlpy.cli.render import json_items

        json_items("xlpy.vm-list/1", [row._asdict() for row in rows])
        return
    out("UUID                                  ID    name")
    for row in rows:
        out(f"{row.uuid}  {row.domid}    {row.name:<30}")


@command("""
xlpy vcpu-list
xlpy vcpu-list quickstart
""")
@domains_argument
@json_option
def vcpu_list(env: Env, domains: tuple[str, ...], as_json: bool) -> None:
    """List the vCPUs of domains.

    There is no scheduler: the CPU is the one on which a fresh domain's vCPU would first be placed, the time is 0.
    """
    from xlpy.cli.rows import list_each
    from xlpy.views import overview
    from xlpy.views.listing import domids

    host = env.host

    def rows(domain: str) -> Iterator[tuple[dict[str, Any], str]]:
        for row in overview.vcpus(host, host.domid(domain)):
            yield row._asdict(), _vcpu_line(row)

    header = f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9} Affinity (Hard / Soft)"
    list_each(domains or list(map(str, domids(host))), rows, header, "xlpy.vcpu-list/1", as_json)


def _vcpu_line(row: Vcpu) -> str:
    cpu = "    -" if row.cpu is None else f"{row.cpu:5d}"
    return f"{row.name:<32} {row.domid:5d} {row.vcpu:5d}{cpu}   {row.state} {row.seconds:9.1f}  {row.hard} / {row.soft}"


@command("""
xlpy uptime
xlpy uptime -s quickstart
""")
@domains_argument
@option("-s", "--short", is_flag=True, help="One line a domain, as uptime prints it.")
@json_option
def uptime(env: Env, domains: tuple[str, ...], short: bool, as_json: bool) -> None:
    """Print how long domains have been running; for domain 0, since the host was started."""
    from xlpy.cli.rows import list_each
    from xlpy.views import overview
    from xlpy.views.listing import domids

    host, now = env.host, time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(now))

    def rows(domain: str) -> Iterator[tuple[dict[str, Any], str]]:
        row = overview.uptime(host, host.domid(domain), now)
        lasted = _duration(row.seconds, short)
        line = f" {clock} up {lasted}, {row.name} ({row.domid})" if short else f"{row.name:<33} {row.domid:4d} {lasted}"
        yield row._asdict(), line

    header = "" if short else f"{'Name':<33} {'ID':>4} Uptime"
    list_each(domains or list(map(str, domids(host))), rows, header, "xlpy.uptime/1", as_json)


def _duration(seconds: int, short: bool) -> str:
    days, rest = divmod(seconds, DAY)
    ahead = "" if not days else "1 day, " if days == 1 else f"{days} days, "
    hours, minutes = f"{rest // 3600:2d}", f"{rest // 60 % 60:02d}"
    return f"{ahead}{hours}:{minutes}" if short else f"{ahead}{hours}:{minutes}:{rest % 60:02d}"


@command("""
xlpy cpupool-list
xlpy cpupool-list -c Pool-0
""")
@argument("pool", required=False)
@option("-c", "--cpus", is_flag=True, help="List the CPUs instead of counting them.")
@json_option
def cpupool_list(env: Env, pool: str | None, cpus: bool, as_json: bool) -> None:
    """List the CPU pools. There is one, and every domain is in it."""
    from xlpy.views.overview import pools

    rows = pools(env.host, pool)
    if as_json:
        from xlpy.cli.render import json_items

        json_items("xlpy.cpupool-list/1", [row._asdict() for row in rows])
        return
    out(f"{'Name':<19}" + ("CPU list" if cpus else "CPUs   Sched     Active   Domain count"))
    for row in rows:
        if cpus:
            out(f"{row.name:<19}{','.join(map(str, row.cpus))}")
        else:
            out(f"{row.name:<19}{len(row.cpus):3d} {row.scheduler:>9}       y       {row.domains:4d}")
