"""Keys of a domain's identity and of its life cycle."""

from __future__ import annotations

from xlpy.toolstack.config.options.option import BOOLEAN, INTEGER, STRING, Option

ACTIONS = (
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "soft-reset",
)

OPTIONS = (
    Option(
        "name",
        STRING,
        "The domain's name. No other live domain may have it. A name of digits only can never be used to address the "
        "domain, because digits are taken for a domain id.",
        default="required",
        fatal="the configuration is refused",
    ),
    Option(
        "uuid",
        STRING,
        "The domain's identity in the form 8-4-4-4-12 hexadecimal digits. xl does not check whether another domain "
        "has the same one.",
        default="random",
    ),
    Option(
        "type",
        STRING,
        "The kind of guest. xl takes any beginning of a word, tried in this order: h is hvm, p is pv, and so is an "
        "empty text hvm.",
        default="pv",
        legal=("hvm", "pv", "pvh"),
    ),
    Option(
        "builder",
        STRING,
        "The kind of guest, as it was called before Xen 4.10: hvm, or generic for pv. It must not contradict type.",
        legal=("hvm", "generic"),
        instead="type",
    ),
    Option(
        "pool",
        STRING,
        "The CPU pool in which the domain runs, by name or number.",
        default="pool 0",
        path="c_info.pool_name",
    ),
    Option("on_poweroff", STRING, "What happens when the guest powers off.", default="destroy", legal=ACTIONS),
    Option("on_reboot", STRING, "What happens when the guest reboots.", default="restart", legal=ACTIONS),
    Option(
        "on_watchdog", STRING, "What happens when the guest's Xen watchdog expires.", default="destroy", legal=ACTIONS
    ),
    Option("on_crash", STRING, "What happens when the guest crashes.", default="destroy", legal=ACTIONS),
    Option(
        "on_soft_reset",
        STRING,
        "What happens when the guest asks for a soft reset.",
        default="soft-reset",
        legal=ACTIONS,
    ),
    Option("seclabel", STRING, "The XSM label of the domain; with init_seclabel, the one it changes to once built."),
    Option("init_seclabel", STRING, "The XSM label that the domain has while it is being built."),
    Option(
        "driver_domain",
        BOOLEAN,
        "Let the domain serve devices to others: it gets xenstore nodes of its own for that.",
        default="0",
        path="c_info.driver_domain",
    ),
    Option(
        "nomigrate",
        BOOLEAN,
        "Never migrate the domain; in return it may see an invariant TSC.",
        default="0",
        path="b_info.disable_migrate",
    ),
    Option(
        "xend_suspend_evtchn_compat",
        BOOLEAN,
        "Give the guest the device/suspend node with the permissions that xend gave it.",
        default="0",
        path="c_info.xend_suspend_evtchn_compat",
    ),
    Option(
        "localtime",
        BOOLEAN,
        "Start the emulated clock in local time instead of UTC.",
        default="0",
        path="b_info.localtime",
    ),
    Option(
        "rtc_timeoffset",
        INTEGER,
        "Seconds by which the emulated clock is ahead of UTC.",
        default="0",
        path="b_info.rtc_timeoffset",
        store="u32",
    ),
)
