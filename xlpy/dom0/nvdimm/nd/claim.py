"""``bttR.N``, ``pfnR.N`` and ``daxR.N``: the devices that claim a namespace, so that it is not a raw block device.

Each claims one namespace. Enabling it reads the info block that the namespace has, or writes one when it has none.
"""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENODEV, ENXIO

from xlpy.addr import MIB
from xlpy.dom0.nvdimm.nd.error import refuse
from xlpy.dom0.nvdimm.nd.names import uuid_bytes
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from typing import Self

    from xlpy.dom0.nvdimm.nd.above import AboveClaim, AboveNamespace

CLAIM_MIN = 16 * MIB  # bytes of a namespace that can be claimed


class Claim:
    """What btt, pfn and dax devices have in common.

    Attributes:
        region: that it is in.
        id: N of its name.
        raw_uuid: 16 bytes of its info block's uuid in text order, None while it has none.
        namespace: that it has claimed, or None.
        bound: whether its driver is bound (``enabled``, as ndctl has it).
    """

    kind: str  # the first part of its name
    kinds: tuple[str, ...]  # what a label may say of a namespace that this can claim
    mode_word: str  # what sysfs says of a namespace that it has claimed

    def __init__(self, region: AboveNamespace, number: int) -> None:
        self.region = region
        self.id = number
        self.raw_uuid: bytes | None = None
        self.namespace: AboveClaim | None = None
        self.bound = False

    @property
    def dev(self) -> str:
        """Its name, such as ``pfn0.0``."""
        return f"{self.kind}{self.region.number}.{self.id}"

    @property
    def uuid(self) -> str:
        """Of its info block, empty for none."""
        return uuid_text(self.raw_uuid) if self.raw_uuid else ""

    @property
    def namespace_name(self) -> str:
        """The attribute ``namespace``: the name of the namespace that it has claimed, or empty."""
        return self.namespace.dev if self.namespace else ""

    def store_uuid(self, text: str) -> None:
        """Set the uuid of the info block that is to be written. NdError: EBUSY: enabled. EINVAL: it is none."""
        self._require_idle()
        self.raw_uuid = uuid_bytes(text)
        self.region.bus.changed(self.region)

    def store_namespace(self, name: str) -> None:
        """Claim a namespace by name; with an empty name give it up: then the device is reset, or goes.

        Raises:
            NdError: EBUSY: enabled, it has one already, or the namespace is claimed or is for another use. EINVAL: no
                such name can be. ENODEV: no such namespace. ENXIO: it has less than 16 MiB.
        """
        self._require_idle()
        name = name.strip()
        if not name:
            self._give_up()
            return
        if not name.startswith("namespace"):
            refuse(EINVAL, f"{name!r} is not the name of a namespace")
        if self.namespace:
            refuse(EBUSY, f"{self.dev} has {self.namespace.dev} already")
        found = next((one for one in self.region.namespaces if one.dev == name), None)
        if found is None:
            refuse(ENODEV, f"there is no {name} below {self.region.dev}")
        if found.kind not in ("none", *self.kinds):
            refuse(EBUSY, f"{name} is for {found.holder_class}")
        if found.size < CLAIM_MIN:
            refuse(ENXIO, f"{name} has {found.size} bytes, at least {CLAIM_MIN} are required")
        if found.claim:
            refuse(EBUSY, f"{name} is claimed by {found.claim.dev}")
        self.take(found)
        self.region.bus.changed(self.region)

    def take(self, namespace: AboveClaim) -> None:
        """Claim a namespace."""
        self.namespace, namespace.claim = namespace, self

    def _give_up(self) -> None:
        if self.namespace:
            self.namespace.claim = None
            self.namespace = None
        if self is self._seed:
            self.raw_uuid = None
            self.reset()
        else:
            self.siblings(self.region).remove(self)
        self.region.bus.changed(self.region)

    def reset(self) -> None:
        """Forget what the next info block is to be like."""

    @classmethod
    def siblings(cls, region: AboveNamespace) -> list[Any]:
        """The devices of this kind in a region."""
        groups: dict[str, list[Any]] = {"btt": region.btts, "pfn": region.pfns, "dax": region.daxs}
        return groups[cls.kind]

    def _appear(self, namespace: AboveClaim) -> None:
        """A device that was found on media: it claims its namespace, and is one of the region's."""
        self.take(namespace)
        among = self.siblings(self.region)
        among.append(self)
        among.sort(key=lambda one: one.id)

    @property
    def _seed(self) -> Claim | None:
        region = self.region
        seeds: dict[str, Claim | None] = {"btt": region.btt_seed, "pfn": region.pfn_seed, "dax": region.dax_seed}
        return seeds[self.kind]

    def _require_idle(self) -> None:
        if self.bound:
            refuse(EBUSY, f"{self.dev} is enabled")

    def bind(self) -> None:
        """Bind its driver.

        Raises:
            NdError: ENODEV: no namespace, no uuid, or something else that an info block needs is not set. EBUSY: the
                namespace is enabled as a raw device, or this one is already. ENXIO: the region can only be read, or
                the namespace is too small. EINVAL: it does not start on a 2 MiB boundary. EOPNOTSUPP: its info block
                says something else, or cannot be used here. ENOMEM: (btt) the arenas contradict each other, (dax) the
                data are not aligned.
        """
        self._require_idle()
        self.region.probe(self, self._probe)

    def _probe(self) -> None:
        if self.namespace is None:
            refuse(ENODEV, f"{self.dev} has no namespace")
        if self.namespace.bound:
            refuse(EBUSY, f"{self.namespace.dev} is active, can't bind {self.dev}")
        self.namespace.probe_common()
        self.probe_media(self.namespace)

    def probe_media(self, namespace: AboveClaim) -> None:
        """Read or write what is on media; errors as ``bind``."""
        raise NotImplementedError

    @classmethod
    def probe(cls, namespace: AboveClaim) -> Self | None:
        """A new device for an info block of this kind, if the namespace has one. NdError EOPNOTSUPP: unusable."""
        raise NotImplementedError

    def unbind(self) -> None:
        """Unbind its driver. NdError: ENODEV: not bound. EBUSY: a domain, a mount or another device uses it."""
        if not self.bound:
            refuse(ENODEV, f"{self.dev} is not enabled")
        if self.namespace:
            self.region.bus.require_idle(self.namespace)
        self.bound = False
        self.region.bus.changed(self.region)

    def log(self, text: str) -> None:
        """Write to the kernel's log."""
        self.region.bus.log(f"nd_pmem {self.dev}: {text}")

    def _dump(self) -> list[Any]:
        uuid = self.raw_uuid.hex() if self.raw_uuid else None
        return [self.id, uuid, self.namespace.id if self.namespace else None, self.bound]

    def _load(self, values: list[Any]) -> None:
        _, uuid, number, self.bound = values
        self.raw_uuid = bytes.fromhex(uuid) if uuid else None
        namespace = next((one for one in self.region.namespaces if one.id == number), None)
        if namespace:
            self.take(namespace)
