"""The hypercalls of a 32-bit guest, taken apart by the public ABI and given to the hypervisor model.

Hypercall page: stub ``n`` at ``32 * n`` loads EAX and executes VMCALL. Arguments come in EBX, ECX, EDX, ESI and EDI;
structures hold 32-bit longs and pointers (``xen/include/public``).
"""

from struct import Struct, pack

from xlpy.addr import PAGE, PAGE_SHIFT, Gfn
from xlpy.errors import HypercallError

MEMORY_OP, XEN_VERSION, VCPU_OP, SCHED_OP, EVENT_CHANNEL_OP, HVM_OP = 12, 17, 24, 29, 32, 34
ENOBUFS, ENOSYS, EOPNOTSUPP = 105, 38, 95
DOMID_SELF = 0x7FF0

STUB = 32
VMCALL_AT = 5


def hypercall_page():
    """MOV EAX, n; VMCALL; RET for each number."""
    return b"".join((b"\xb8" + pack("<I", n) + b"\x0f\x01\xc1\xc3").ljust(STUB, b"\xcc") for n in range(PAGE // STUB))


class Hypercalls:
    """One guest's calls.

    Args:
        cpu: the processor, for memory and registers.
        platform: where calls about memory, parameters and the end of the domain go.
        version: Xen's (major, minor). uuid: the domain's 16 bytes.
        kick: called when an event is sent. shared_info: called with the page where the guest wants it.
        start: called with a vCPU's number and its registers by name, when it is brought up.
    """

    def __init__(self, cpu, platform, *, version, uuid, kick, shared_info, start):
        self._cpu, self._platform = cpu, platform
        self._version, self._uuid = version, uuid
        self._kick, self._shared_info, self._start = kick, shared_info, start
        self._contexts = {}

    def call(self, number):
        """Carry out hypercall ``number`` with the arguments in the registers; the result is in EAX."""
        cpu = self._cpu
        arguments = cpu["ebx"], cpu["ecx"], cpu["edx"]
        handler = {
            MEMORY_OP: self._memory,
            XEN_VERSION: self._xen_version,
            VCPU_OP: self._vcpu,
            SCHED_OP: self._sched,
            EVENT_CHANNEL_OP: self._event,
            HVM_OP: self._hvm,
        }[number]
        try:
            cpu["eax"] = handler(*arguments)
        except HypercallError as error:
            cpu["eax"] = -error.errno

    def _fields(self, form, address):
        form = Struct(form)
        return form.unpack(self._cpu.read(address, form.size))

    def _memory(self, command, argument, _):
        return {6: self._populate, 7: self._add_to_physmap, 9: self._memory_map, 26: self._vnuma}[command](argument)

    def _populate(self, argument):
        start, count, order, _, domid = self._fields("<IIIIH", argument)
        assert (order, domid) == (0, DOMID_SELF)
        done = 0
        for (gfn,) in (self._fields("<I", start + 4 * n) for n in range(count)):
            if not self._platform.populate(Gfn(gfn), 1):
                break
            self._cpu.forget(gfn << PAGE_SHIFT)
            done += 1
        return done

    def _add_to_physmap(self, argument):
        domid, size, space, index, gfn = self._fields("<HHIII", argument)
        assert domid == DOMID_SELF
        if space == 0:
            self._shared_info(gfn << PAGE_SHIFT)
            return 0
        count = {2: 1, 3: size}[space]
        self._platform.move_page(Gfn(index), Gfn(gfn), count)
        self._cpu.forget(index << PAGE_SHIFT, count)
        self._cpu.forget(gfn << PAGE_SHIFT, count)
        return 0

    def _memory_map(self, argument):
        room, buffer = self._fields("<II", argument)
        rows = self._platform.memory_map()
        if not rows:
            return -ENOSYS
        assert len(rows) <= room
        self._cpu.write(buffer, b"".join(pack("<QQI", *row) for row in rows))
        self._cpu.write(argument, pack("<I", len(rows)))
        return 0

    def _vnuma(self, argument):
        """``struct xen_vnuma_topology_info``: counts, then 64-bit fields with a pointer each."""
        domid, _, *room, distances, vcpus, ranges = self._fields("<HHIIIQQQ", argument)
        assert domid == DOMID_SELF
        topology = self._platform.vnuma()
        if topology is None:
            return -EOPNOTSUPP
        counts = [len(topology.distances), len(topology.vcpu_to_node), len(topology.ranges)]
        self._cpu.write(argument + 4, pack("<III", *counts))
        if any(have < need for have, need in zip(room, counts, strict=True)):
            return -ENOBUFS
        self._cpu.write(distances & 0xFFFFFFFF, b"".join(pack("<I", d) for row in topology.distances for d in row))
        self._cpu.write(vcpus & 0xFFFFFFFF, b"".join(pack("<I", node) for node in topology.vcpu_to_node))
        rows = (pack("<QQII", r.start, r.end, 0, r.node) for r in topology.ranges)
        self._cpu.write(ranges & 0xFFFFFFFF, b"".join(rows))
        return 0

    def _xen_version(self, command, argument, _):
        if command == 0:
            return self._version[0] << 16 | self._version[1]
        data = {1: b"".ljust(16, b"\0"), 8: self._uuid}[command]
        self._cpu.write(argument, data)
        return 0

    def _vcpu(self, command, number, argument):
        """VCPUOP_initialise with a 32-bit context (``struct vcpu_hvm_context``), up, down: since Xen 4.20."""
        if command == 0:
            mode, _, *registers = self._fields("<II9I", argument)
            assert mode == 0
            names = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip")
            self._contexts[number] = dict(zip(names, registers, strict=True))
        elif command == 1:
            self._start(number, self._contexts.pop(number))
        else:
            assert command == 2, f"vcpu_op {command}"
        return 0

    def _sched(self, command, argument, _):
        if command == 2:
            self._platform.shutdown(self._fields("<I", argument)[0])
            self._cpu.stop()
        else:
            assert command == 3, f"sched_op {command}"
        return 0

    def _event(self, command, argument, _):
        assert command == 4, f"event_channel_op {command}"
        self._kick(self._fields("<I", argument)[0])
        return 0

    def _hvm(self, command, argument, _):
        domid, index, value = self._fields("<HxxIQ", argument)
        assert domid == DOMID_SELF
        if command == 0:
            self._platform.set_param(index, value)
        else:
            assert command == 1, f"hvm_op {command}"
            self._cpu.write(argument + 8, pack("<Q", self._platform.get_param(index)))
        return 0
