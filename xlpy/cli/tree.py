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
    "guest": "A domain with a guest's eye.",
    "host": "The emulated host itself.",
}

TREE: dict[str, dict[str, tuple[str, str]]] = {
    "": {
        "create": ("domain:create", "Create a domain from a configuration file."),
        "destroy": ("domain:destroy", "End a domain at once; its persistent memory keeps its content."),
        "list": ("domain:list_domains", "List domains, as xl does."),
        "boot": ("boot:boot", "Boot an unmodified Linux kernel on a domain, under QEMU."),
        "pmem": ("", GROUPS["pmem"]),
        "acpi": ("", GROUPS["acpi"]),
        "mem": ("", GROUPS["mem"]),
        "config": ("", GROUPS["config"]),
        "guest": ("", GROUPS["guest"]),
        "host": ("", GROUPS["host"]),
        "map": ("map:show_map", "Show a domain's guest-physical memory map."),
        "dmesg": ("host:dmesg", "Print the hypervisor's log."),
        "info": ("host:info", "Describe the host."),
        "help": ("help:help_topic", "Explain a command or a topic, such as exit-codes."),
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
        "check": ("aml:check", "Lint ACPI tables, of a domain or made elsewhere."),
        "namespace": ("aml:namespace", "Print a domain's ACPI namespace."),
    },
    "mem": {
        "read": ("mem:read", "Read guest memory."),
        "write": ("mem:write", "Write guest memory."),
    },
    "config": {
        "check": ("config:check", "Check domain configurations, many at once."),
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
