"""What a build and its tests take, in processor time.

`times.py run LOG COMMAND...` runs COMMAND and adds `seconds<TAB>source` to LOG: `.ci/run` gives it to CMake as the launcher of the
compilers. `times.py report LOG TESTS` prints the ten slowest compilations of LOG and the ten slowest tests of CTest's TESTS (JUnit)."""
import pathlib
import resource
import subprocess
import sys
import xml.etree.ElementTree


def run(log, command):
    code = subprocess.run(command).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    source = next((b for a, b in zip(command, command[1:]) if a == "-c"), command[0])
    with log.open("a") as file:
        file.write(f"{used.ru_utime + used.ru_stime:.2f}\t{pathlib.Path(source).name}\n")
    return code


def slowest(rows, words):
    rows.sort(reverse=True)
    print(f"  {words}: {len(rows)}, {sum(seconds for seconds, _ in rows):.0f} s; the slowest:")
    for seconds, name in rows[:10]:
        print(f"  {seconds:7.1f} s  {name}")


def report(log, tests):
    if log.exists():
        lines = [line.split("\t") for line in log.read_text().splitlines()]
        slowest([(float(seconds), name) for seconds, name in lines], "compilations, processor time")
    if tests.exists():
        cases = xml.etree.ElementTree.parse(tests).getroot().iter("testcase")
        slowest([(float(case.get("time", 0)), case.get("name")) for case in cases], "tests, time by the clock")
    return 0


verb, *arguments = sys.argv[1:]
sys.exit(run(pathlib.Path(arguments[0]), arguments[1:]) if verb == "run" else report(*map(pathlib.Path, arguments)))
