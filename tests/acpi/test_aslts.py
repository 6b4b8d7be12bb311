"""ACPICA's own suite: what acpiexec passes, the evaluator passes."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from acpi.aslts import COLLECTIONS, build, ours, suite, theirs, version

from xlpy.firmware.acpi.eval.acpica import VERSION

# What acpiexec 20200925 passes and 20260408 does not: root methods by the reason
OLDER = {
    "Load takes a place for a handle, which Unload is given": (
        *(f"table:TLD0.tst{letter}" for letter in "01345678gkl"),
        *(f"table:TUL0.tst{letter}" for letter in "012"),
        *(f"exc_tbl:TLD1.tst{letter}" for letter in "bc"),
        "exc_tbl:TUL1.tst3",
        *(f"Demo of bug {bug}" for bug in ("257:m17d", "260:m029", "285:m285", "286:m286", "290:m290", "292:m292")),
    ),
    "a resource descriptor longer than its buffer is AE_AML_NO_RESOURCE_END_TAG": ("exc:m154",),
    "a write to byte 4 of a PCC subspace sends its message, too": ("region:m745",),
}


@pytest.fixture(scope="module")
def root():
    return suite()


@pytest.mark.slow
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_collection(root, collection, tmp_path):
    files = build(root, collection, tmp_path)
    assert files
    with ProcessPoolExecutor(2) as processes:
        mine = list(processes.map(ours, files.values()))
    with ThreadPoolExecutor(8) as threads:  # after the processes: a fork among threads can hang
        judged = list(threads.map(theirs, files.values()))
    older = version() != f"{VERSION:x}"
    allowed = {method for methods in OLDER.values() for method in methods if older}
    worse, passed, wanted = [], 0, 0
    for name, (verdicts, ended), (expected, comes_to_an_end) in zip(files, mine, judged, strict=True):
        assert ended or not comes_to_an_end, f"{name} does not come to its end"
        passed += sum(verdict == "PASS" for verdict in verdicts.values())
        wanted += sum(verdict == "PASS" for verdict in expected.values())
        for method, verdict in expected.items():
            if verdict == "PASS" and verdicts.get(method) != "PASS" and method.partition(":")[2] not in allowed:
                worse.append(f"{name} {method}: {verdicts.get(method)}")
    print(f"{collection}: {passed} root methods pass, {wanted} in acpiexec")
    assert not worse
