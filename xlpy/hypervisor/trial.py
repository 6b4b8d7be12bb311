"""A hypervisor for dry runs: hypercalls on a domain that exists only in this process, with all their checks."""

from __future__ import annotations

from xlpy.hypervisor.domain import Domain
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store


class TrialXen(Xen):
    """A Xen of the same version on the same machine, with no domains, whose state is never written.

    Only hypercalls that set what a domain is may be made; what takes memory is the real hypervisor's to answer.

    Args:
        real: the hypervisor whose answers are wanted.
    """

    def __init__(self, real: Xen) -> None:
        super().__init__(real.hw, Store(None))
        self._real = real

    @property
    def version(self) -> str:
        """As the real one."""
        return self._real.version

    def add_domain(self, domid: int, uuid: bytes, flags: int, max_vcpus: int) -> Domain:
        """Make a domain without files."""
        self._domains[domid] = made = Domain(self, domid, Domain.new_record(uuid, flags, max_vcpus))
        made.save()
        return made
