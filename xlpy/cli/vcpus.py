"""vCPUs and scheduling: ``xlpy vcpu-set``, ``vcpu-pin``, ``sched-credit2``."""

from __future__ import annotations

from xlpy.cli.changing import changing, target
from xlpy.cli.declare import argument, command, option
from xlpy.cli.options import domain_argument, dry_run_option, json_option
from xlpy.cli.render import json_document, json_items
from xlpy.cli.show import out
from xlpy.cli.types import IntRange
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.cli.env import Env

RATELIMIT_US = 1000  # credit2's default


@command("""
xlpy vcpu-set quickstart 1
xlpy vcpu-set --ignore-host quickstart 2
""")
@domain_argument
@argument("count")
@option("-i", "--ignore-host", is_flag=True, help="Allow more vCPUs than the host has CPUs.")
@dry_run_option
@json_option
def vcpu_set(env: Env, domain: str, count: str, ignore_host: bool, as_json: bool) -> None:
    """Set how many vCPUs a domain may have up; the guest takes the others down, or brings them up, by itself.

    QEMU plugs vCPUs of an HVM guest in and tells it (GPE 2), and never takes one out.
    """
    from xlpy.toolstack.domain.vcpus import set_online
    from xlpy.views.listing import online

    with changing(env, f"vcpu-set of {domain}") as dry:
        domid = target(env, domain)
        done = set_online(env.host.lifecycle, domid, count, len(online(env.host, domid)), ignore_host, dry)
    if as_json:
        json_document("xlpy.vcpu-set/1", domid=domid, vcpus=done, dry_run=dry)


@command("""
xlpy vcpu-pin quickstart 0 2-3
xlpy vcpu-pin quickstart all - 0,^1
""")
@domain_argument
@argument("vcpu")
@argument("hard")
@argument("soft", required=False, metavar="[SOFT]")
@option("-f", "--force", is_flag=True, help="Accepted as in xl: for a vCPU that the guest itself has pinned.")
@option("-i", "--ignore-global-affinity-masks", "ignore_masks", is_flag=True, help="Accepted: there is no xl.conf.")
@dry_run_option
@json_option
def vcpu_pin(
    env: Env, domain: str, vcpu: str, hard: str, soft: str | None, force: bool, ignore_masks: bool, as_json: bool
) -> None:
    """Set on which CPUs a vCPU (a number, or all) may run (HARD), and on which it should (SOFT); - leaves it alone.

    A CPU list has commas between all, N, N-M, node:N, each with ^ in front to take away. vcpu-list shows it; there is
    no scheduler here that acts on it.
    """
    from xlpy.errors import UsageError
    from xlpy.toolstack.config.reading.reader import facts_of
    from xlpy.toolstack.domain.vcpus import cpu_set, pin
    from xlpy.views.overview import cpu_list

    del ignore_masks
    if force and vcpu == "all":
        raise UsageError("Error: --force and 'all' as VCPU not allowed.", hint="name one vCPU")
    with changing(env, f"vcpu-pin of {domain}") as dry:
        domid = env.host.domid(domain)
        facts = facts_of(env.host.spec)
        may, should = cpu_set(hard, facts), None if soft is None else cpu_set(soft, facts)
        chosen = pin(env.host.lifecycle, domid, vcpu, may, should, dry)
    if as_json:
        json_document("xlpy.vcpu-pin/1", domid=domid, vcpus=chosen, hard=may, soft=should, dry_run=dry)
    elif dry:
        every = range(facts.cpus)
        shown = "-" if may is None else cpu_list(may, every)
        out(f"cpumap: {shown}" + ("" if should is None else f" {cpu_list(should, every)}"))


@command("""
xlpy sched-credit2
xlpy sched-credit2 -d quickstart -w 512
""")
@option("-d", "--domain", metavar="DOMAIN", help="Only this domain.", shell_complete="domains")
@option("-w", "--weight", type=IntRange(1, 65535), metavar="N", help="Set its share of CPU time.")
@option("-c", "--cap", type=IntRange(0), metavar="PERCENT", help="Set the most CPU time it gets; 0 is no limit.")
@option("-s", "--schedparam", "pool", is_flag=True, help="Show the parameters of the CPU pool.")
@option("-p", "--cpupool", "pool_name", metavar="POOL", help="Only this CPU pool.")
@dry_run_option
@json_option
def sched_credit2(
    env: Env,
    domain: str | None,
    weight: int | None,
    cap: int | None,
    pool: bool,
    pool_name: str | None,
    as_json: bool,
) -> None:
    """Show the parameters of the scheduler credit2, or set those of a domain. No scheduler here acts on them."""
    from xlpy.errors import UsageError
    from xlpy.toolstack.domain.record import name_of
    from xlpy.views.listing import domids
    from xlpy.views.overview import POOL, pools

    pools(env.host, pool_name)  # NotFound
    if domain is None and (weight is not None or cap is not None):
        raise UsageError("Must specify a domain.", hint="xlpy sched-credit2 -d DOMAIN -w 512")
    if weight is not None or cap is not None:
        with changing(env, f"sched-credit2 of {domain}") as dry:
            domid = env.host.domid(domain or "")
            if not dry:
                env.host.xen.hypercalls(0).domctl_scheduler_op(domid, weight, cap)
        if as_json:
            json_document("xlpy.sched-credit2-set/1", domid=domid, weight=weight, cap=cap, dry_run=dry)
        return
    chosen = [] if pool else domids(env.host) if domain is None else [env.host.domid(domain)]
    rows = [
        {"domid": one, "name": name_of(env.host.xenstore, one) or "", "weight": found.weight, "cap": found.cap}
        for one in chosen
        for found in [env.host.xen.domain(one)]
    ]
    if as_json:
        json_items("xlpy.sched-credit2/1", rows)
        return
    if domain is None:
        out(f"Cpupool {POOL}: ratelimit={RATELIMIT_US}us")
    if not pool:
        out(f"{'Name':<33} {'ID':>4} {'Weight':>6} {'Cap':>4}")
    for row in rows:
        out(f"{row['name']:<33} {row['domid']:4d} {row['weight']:6d} {row['cap']:4d}")
