"""``xlpy help``: commands, and the topics that belong to no single command."""

from __future__ import annotations

from xlpy.cli.declare import argument, command
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document
from xlpy.cli.show import out
from xlpy.errors import NotFound
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.env import Env

EXIT_CODES = (
    (0, "done, or nothing to do (said on stderr)", "pmem list of an empty bank"),
    (1, "unexpected internal error; a traceback only with --debug", "a bug"),
    (2, "usage: bad option, missing argument", "xlpy create without a file"),
    (3, "configuration invalid (syntax or validation; all problems are listed)", "a bad vnvdimm entry"),
    (4, "a named thing, a file to be read, or the folder of one to be written, does not exist", "an unknown domain"),
    (5, "conflict: exists already, busy, locked, overlapping, owned by another domain", "a second domain on one file"),
    (6, "a constraint is not met: alignment, size, space, slots, a usable file", "pmem beyond the physical width"),
    (7, "unsafe backing store, refused", "unwritten extents"),
    (8, "the hypervisor refused a hypercall", "a range that is not registered"),
    (9, "firmware stopped the boot", "an ACPI collision"),
    (10, "a comparison or lint found something; the tool itself worked", "acpi check with findings"),
    (11, "partial success; see the result of each item", "destroy a b c, one of them unknown"),
    (130, "interrupted", "Ctrl-C"),
    (141, "the reader closed the pipe", "xlpy pmem list | head -1"),
)

TOPICS = {
    "exit-codes": "What each exit status means.",
    "vnvdimm": "The vnvdimm entry of a domain configuration.",
    "json": "How every --json document is shaped.",
}

_TEXT = {
    "vnvdimm": """\
vnvdimm = [ 'file=PATH[,label_size=SIZE][,label_file=PATH][,unarmed=0|1][,mode=rw|ro][,node=N]', ... ]

PATH is /dev/pmemN (a whole device), /dev/pmemNpM (a partition), /dev/daxN.M (devdax), or a file that
is accessed with DAX on a file system directly on a pmem device. Nothing in Dom0 may use it. A file must be fully
written and must not move: see `xlpy pmem prepare`.
label_size   the size of the label area behind _DSM, 128K by default, 0 for none. It lies outside the data, so turning
             labels on never hides existing content.
label_file   a file or pmem device of its own that holds the label area on a real Xen, see `xlpy export`; 128K or more.
unarmed      1 marks the device as one whose writes may not survive a power failure; Linux then maps it read-only.
mode         ro maps it such that the guest can only read: a store faults and changes nothing. The guest is told that
             the device is not armed, so that Linux makes it read-only. Required for what is read-only in Dom0.
node         the guest's virtual NUMA node (see vnuma) that the memory belongs to, 0 by default. The guest's NFIT and
             SRAT tell it, and so its device-DAX memory can be made system RAM of that node.
""",
    "json": """\
Every --json document is one object. "schema" names its shape and version, such as xlpy.pmem-list/1; lists are in
"items". Numbers are bytes and addresses as integers. Keys may be added within a version; they are never removed or
retyped. Errors are {"schema": "xlpy.error/1", "code", "exit", "message", "details", "hint"} on standard output, with
the same exit status as without --json.
""",
}


@command("""
xlpy help exit-codes
xlpy help pmem resolve
""")
@argument("words", nargs=-1, metavar="[COMMAND or TOPIC]...")
@json_option
def help_topic(env: Env, words: tuple[str, ...], as_json: bool) -> None:
    """Explain a command or a topic."""
    del env
    if words == ("exit-codes",):
        if as_json:
            rows = [{"code": code, "meaning": meaning, "example": sample} for code, meaning, sample in EXIT_CODES]
            json_document("xlpy.exit-codes/1", items=rows)
        else:
            for code, meaning, sample in EXIT_CODES:
                out(f"{code:>3}  {meaning}; for example: {sample}")
    elif len(words) == 1 and words[0] in _TEXT:
        out(*_TEXT[words[0]].splitlines())
    else:
        out(*_of_command(words).split("\n"))
        if not words:
            out("", "Topics: " + ", ".join(f"{name} ({text})" for name, text in TOPICS.items()))


def _of_command(words: Sequence[str]) -> str:
    import click

    from xlpy.cli.grammar import root_context

    context = root_context()
    for word in words:
        command = context.command
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            raise NotFound(
                f"no command or topic {' '.join(words)!r}", hint=f"topics: {', '.join(TOPICS)}; commands: xlpy --help"
            )
        context = click.Context(found, info_name=found.name, parent=context)
    return context.get_help()
