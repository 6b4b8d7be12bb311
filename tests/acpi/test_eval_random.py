"""The evaluator against acpiexec on random ASL. A disagreement's text is a case for ``test_eval_oracle``.

``XLPY_SEED`` chooses other programs, ``XLPY_PROGRAMS`` how many.
"""

import os
import re

from acpi.judges import acpiexec, run, tool
from acpi.random_asl import LOCALS, bodies, table

from xlpy.firmware.acpi.eval import AmlError, Interpreter, ObjectPath

SEED = int(os.environ.get("XLPY_SEED", "1"))
PROGRAMS = int(os.environ.get("XLPY_PROGRAMS", "300"))
OLD_HEX = "ToHexString"  # of an integer it depends on acpiexec's version, as AE_AML_BUFFER_LENGTH does


def compiled(folder, programs):
    """The table, and the programs in it: iasl's grammar does not take every combination."""
    iasl = tool("iasl")
    source = folder / "random.asl"
    while True:
        source.write_text(f'DefinitionBlock ("", "DSDT", 2, "XLPY", "RANDOM", 1)\n{{\n{table(programs)}\n}}\n')
        text = run(iasl, "-of", "-oa", "-f", "-vi", source.name, folder=folder).stdout
        if source.with_suffix(".aml").exists():
            return source.with_suffix(".aml").read_bytes(), programs
        refused = {int(line) - 3 for line in re.findall(r"\((\d+)\) : error    6126", text)}
        assert refused, text[-2000:]
        programs = [program for at, program in enumerate(programs) if at not in refused]


def ours(interpreter, path):
    try:
        return interpreter.evaluate(path)
    except AmlError as error:
        return error.status


def verdicts(folder, aml, paths):
    """acpiexec's results; None where it has nothing to say."""
    found = []
    for at in range(0, len(paths), 200):
        part = paths[at : at + 200]
        try:
            found += acpiexec(folder, [aml], part)
        except RuntimeError:
            found += [_alone(folder, aml, path) for path in part]
    return found


def _alone(folder, aml, path):
    try:
        return acpiexec(folder, [aml], [path])[0]
    except RuntimeError:
        return None


def comparable(program, mine, theirs):
    """Whether acpiexec shows what it got: a device or the like is no result for its callers, nor always shown alike."""
    if OLD_HEX in program or mine == "AE_AML_BUFFER_LENGTH" or isinstance(mine, ObjectPath):
        return False
    return theirs not in ("AE_SUPPORT", None)


def test_random_programs(tmp_path):
    aml, programs = compiled(tmp_path, bodies(PROGRAMS, SEED))
    assert len(programs) > PROGRAMS * 0.8
    interpreter = Interpreter()
    interpreter.load(aml)
    paths = [f"\\D{at:03X}.TEST" for at in range(len(programs))]
    mine = [ours(interpreter, path) for path in paths]
    theirs = verdicts(tmp_path, aml, paths)
    rows = list(zip(programs, mine, theirs, strict=True))
    judged = [row for row in rows if comparable(*row)]
    assert len(judged) > len(rows) * 0.7
    assert len({str(row[1]) for row in judged}) > 40  # they do different things
    assert [(row[0].removeprefix(LOCALS), *row[1:]) for row in judged if row[1] != row[2]] == []
