"""Foreign judges: Intel's acpica-tools, used where they are installed (``apt-get install acpica-tools``)."""

import re
import resource
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from programs import need


def tool(name):
    """The path of an acpica tool; skips the test when there is none."""
    return need(name)


def run(*command, folder, **kwargs):
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


def compile_asl(folder: Path, sources, *, signature="SSDT", revision=2, options=("-of",)):
    """Compile bodies of definition blocks, one run of iasl each.

    Returns:
        the tables, in order.
    """
    iasl = tool("iasl")
    tables = []
    for number, body in enumerate(sources):
        file = folder / f"t{number}.asl"
        file.write_text(f'DefinitionBlock ("", "{signature}", {revision}, "XLPY", "TEST", 1)\n{{\n{body}\n}}\n')
        result = run(iasl, "-vw", "3144", *options, file, folder=folder)
        assert result.returncode == 0, result.stdout + result.stderr
        tables.append(file.with_suffix(".aml").read_bytes())
    return tables


def disassemble(folder: Path, tables):
    """Complaints of ``iasl -d`` about tables (empty when it has none), and the ASL texts.

    Args:
        tables: table bytes by file name.
    """
    iasl = tool("iasl")
    for name, data in tables.items():
        (folder / name).write_bytes(data)
    result = run(iasl, "-d", *tables, folder=folder)
    text = result.stdout + result.stderr
    bad = [line for line in text.splitlines() if any(word in line for word in ("Error", "Warning", "Invalid", "rror "))]
    return bad, [(folder / name).with_suffix(".dsl").read_text() for name in tables]


def _modestly(command, text, folder):
    """What acpiexec prints, in bounds: some results it prints for ever, or fill all memory."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))

    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=out, stderr=out, preexec_fn=limit)
        try:
            process.communicate(text.encode(), timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        out.seek(0)
        return out.read().decode("latin-1")


UNSEEN = "AE_BUFFER_OVERFLOW"  # instead of a value that acpiexec has no room for (16 KiB), or cuts when it prints it
SESSION = 25  # commands that one acpiexec is asked
NODE = re.compile(r" *(\d+) +(\w{4}) \w+ +0x")
STATUS = re.compile(r"Evaluation of (\S+) failed with status (AE_\w+)")
RESULT = re.compile(r"Evaluation of (\S+) returned object \S+, external buffer length \w+\n((?: +.*\n)*)")


def acpiexec(folder: Path, tables, commands, options=()):
    """Let acpiexec load tables and evaluate objects, each in a namespace that only few others have used.

    Args:
        tables: the DSDT first.
        commands: what follows ``evaluate``: a path, and arguments.
        options: of acpiexec.

    Returns:
        values in order of the commands: int, str, bytes, list, ``AE_...`` for a failure, None for no result.
    """
    program = tool("acpiexec")
    names = []
    for number, table in enumerate(tables):
        names.append(f"table{number}.aml")
        (folder / names[-1]).write_bytes(table)

    def session(part, tries=3):
        lines = "".join(f"evaluate {command}\n" for command in part)
        text = _modestly([program, "-dt", *options, *names], lines + "quit\n", folder)
        answers = [_answer(answer) for answer in text.split("\n- evaluate ")[1:]]
        if len(answers) == len(part):
            return answers
        if tries > 1:  # on a busy machine its threads sometimes lose a line or end too early
            return session(part, tries - 1)
        raise RuntimeError(f"acpiexec answered {len(answers)} of {len(part)} questions")

    parts = [commands[at : at + SESSION] for at in range(0, len(commands), SESSION)]
    with ThreadPoolExecutor(8) as pool:  # it sleeps after each command
        return [answer for part in pool.map(session, parts) for answer in part]


def acpiexec_namespace(folder: Path, tables):
    """The full paths in acpiexec's namespace once the tables are loaded, without running any _INI or _STA."""
    program = tool("acpiexec")
    names = [f"table{number}.aml" for number in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        (folder / name).write_bytes(table)
    found, path = set(), []
    for line in _modestly([program, "-dt", "-di", *names], "namespace\nquit\n", folder).splitlines():
        if match := NODE.match(line):
            path[int(match[1]) :] = [match[2].rstrip("_") or "_"]
            found.add("\\" + ".".join(path))
    return found


def _answer(text):
    if match := STATUS.search(text):
        return match[2]
    found = RESULT.search(text)
    try:
        return _value(found[2].splitlines()) if found else None
    except (IndexError, ValueError, TypeError) as error:
        raise RuntimeError(f"what acpiexec shows is not understood: {text[:2000]}") from error


def _value(lines):
    """Take one value off the front of acpiexec's lines."""
    line = lines.pop(0).strip()
    kind, _, rest = line.partition("] ")
    if kind == "[Integer":
        return int(rest.removeprefix("= "), 16)
    if kind == "[String":
        if rest.endswith('"...'):
            return UNSEEN
        text = re.fullmatch(r'Length \w+ = "(.*)"', rest)[1]
        text = re.sub(r"\\xFFFFFF(?=[0-9A-F]{2})", r"\\x", text)  # it prints characters with their sign
        return text.encode("latin-1").decode("unicode_escape")
    if kind == "[Buffer":
        length = int(rest.split()[1], 16)
        data = b""
        if row := re.search(r"0000: .*", rest):
            lines.insert(0, row[0])
        while len(data) < length:
            data += bytes.fromhex(lines.pop(0).partition(": ")[2].partition("  ")[0].partition("//")[0])
        return data
    if kind == "[Package":
        return [_value(lines) for _ in range(int(rest.split()[1]))]
    if kind == "[Object Reference":
        return rest.split("Name ")[1].split()[0] if "Name " in rest else rest
    return None if line.startswith("[Null Object]") else line


def hvmloader_tables():
    """The AML tables inside Xen's hvmloader (package xen-utils-4.17); skips the test when it is not installed."""
    found = sorted(Path("/usr/lib").glob("xen-*/boot/hvmloader"))
    if not found:
        pytest.skip("hvmloader is not installed (package xen-utils)")
    image = found[0].read_bytes()
    tables = []
    for match in re.finditer(rb"[DS]SDT", image):
        length = int.from_bytes(image[match.start() + 4 : match.start() + 8], "little")
        table = image[match.start() : match.start() + length]
        if 36 < length == len(table) < 1 << 20 and not sum(table) & 0xFF:
            tables.append(table)
    return tables
