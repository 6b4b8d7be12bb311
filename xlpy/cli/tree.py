"""The command tree as a table: what exists, where it lives, what it does in one line.

Nothing here imports a command, so that ``xlpy --help`` is as fast as click itself.
"""

from __future__ import annotations

GROUPS = {
    "": "commands",
    "pmem": "Persistent memory of the host: devices, files, and the extents behind them.",
    "acpi": "ACPI tables, of a domain or of the host.",
    "mem": "Guest memory, by guest-physical address.",
    "config": "Domain configurations, without a host.",
    "export": "vNVDIMMs on a real, unmodified Xen.",
    "guest": "A domain with a guest's eye.",
    "host": "The emulated host itself.",
    "whereis": "Where a byte lives: every hop from a configuration line to a DIMM cell.",
    "xenstore": "The store in which toolstack, firmware and guests meet.",
}

TREE: dict[str, dict[str, tuple[str, str]]] = {
    "": {
        "create": ("domain:create", "Create a domain from a configuration file."),
        "destroy": ("domain:destroy", "End a domain at once; its persistent memory keeps its content."),
        "pause": ("life:pause", "Pause a domain."),
        "unpause": ("life:unpause", "Let a paused domain run."),
        "shutdown": ("life:shutdown", "Ask a domain to power off."),
        "reboot": ("life:reboot", "Ask a domain to reboot: it is built anew."),
        "trigger": ("life:trigger", "Press a button or pull a line of a domain."),
        "sysrq": ("life:sysrq", "Send a Magic System Request to a domain."),
        "dump-core": ("life:dump_core", "Write a domain's memory to an ELF core file."),
        "rename": ("identity:rename", "Give a domain another name."),
        "domid": ("identity:domid_of", "Print a domain's id."),
        "domname": ("identity:domname", "Print a domain's name."),
        "config-update": ("identity:config_update", "Store a configuration for a domain's next restart."),
        "mem-set": ("identity:mem_set", "Set how much memory a domain shall use."),
        "mem-max": ("identity:mem_max", "Set how much memory a domain may have."),
        "list": ("overview:list_domains", "List domains, as xl does."),
        "vm-list": ("overview:vm_list", "List the UUID, id and name of every domain."),
        "vcpu-list": ("overview:vcpu_list", "List the vCPUs of domains."),
        "uptime": ("overview:uptime", "Print how long domains have been running."),
        "cpupool-list": ("overview:cpupool_list", "List the CPU pools."),
        "nvdimm-attach": ("nvdimm:attach", "Attach a vNVDIMM to a running domain."),
        "nvdimm-list": ("nvdimm:list_nvdimms", "List the vNVDIMMs of domains."),
        "nvdimm-detach": ("nvdimm:detach", "Detach a vNVDIMM from a running domain."),
        "boot": ("boot:boot", "Boot an unmodified Linux kernel on a domain, under QEMU."),
        "export": ("export:export", "Make files with which the stock xl starts a domain with vNVDIMMs."),
        "import": ("imports:import_config", "Read vNVDIMMs back from a stock xl configuration."),
        "pmem": ("", GROUPS["pmem"]),
        "acpi": ("", GROUPS["acpi"]),
        "mem": ("", GROUPS["mem"]),
        "config": ("", GROUPS["config"]),
        "guest": ("", GROUPS["guest"]),
        "host": ("", GROUPS["host"]),
        "xenstore": ("", GROUPS["xenstore"]),
        "whereis": ("", GROUPS["whereis"]),
        "map": ("map:show_map", "Show a domain's guest-physical memory map."),
        "dmesg": ("host:dmesg", "Print the hypervisor's log."),
        "info": ("host:info", "Describe the host."),
        "completion": ("completion:completion", "Print the completion script for bash, zsh or fish."),
        "help": ("help:help_topic", "Explain a command or a topic, such as exit-codes."),
    },
    "xenstore": {
        "ls": ("xenstore:list_nodes", "List nodes with their values."),
        "read": ("xenstore:read", "Print the values of nodes."),
        "write": ("xenstore:write", "Set the values of nodes."),
        "watch": ("xenstore:watch", "Print what changes."),
    },
    "pmem": {
        "list": ("pmem:list_pmem", "List persistent memory devices, in ndctl's words."),
        "resolve": ("pmem:resolve_path", "Show the host physical extents behind a device or file."),
        "prepare": ("pmem:prepare", "Make a file mappable: allocate every block and write zeros where nothing is."),
        "mkfile": ("pmem:mkfile", "Make a new, fully written file on a DAX file system."),
    },
    "acpi": {
        "dump": ("acpi:dump", "Dump ACPI tables, as acpidump does."),
        "eval": ("aml:evaluate", "Evaluate an object of a domain's ACPI namespace."),
        "check": ("lint:check", "Lint ACPI tables, of a domain or made elsewhere."),
        "namespace": ("aml:namespace", "Print a domain's ACPI namespace."),
    },
    "whereis": {
        "gpa": ("whereis:gpa", "Find what is behind a guest-physical address."),
        "spa": ("whereis:spa", "Find what is at a host physical address, and above and below it."),
        "dpa": ("whereis:dpa", "Find what a DIMM's cell holds."),
        "file": ("whereis:file", "Find where a byte of a file or device of Dom0 lies."),
    },
    "mem": {
        "read": ("mem:read", "Read guest memory."),
        "write": ("mem:write", "Write guest memory."),
    },
    "config": {
        "check": ("config:check", "Check domain configurations, many at once."),
    },
    "export": {
        "check": ("export:check", "Check exports: files, memory, pins; before every start of the domain."),
        "release": ("export:release", "Unpin what an export holds, and remove its files."),
    },
    "guest": {
        "probe": ("guest:probe", "Tell what an operating system would find in a domain."),
    },
    "host": {
        "init": ("host:init", "Make the host from a machine description."),
        "show": ("host:show", "Show the machine, its DIMMs, regions and devices."),
        "reset": ("host:reset", "Remove the host, or start it anew."),
    },
}
