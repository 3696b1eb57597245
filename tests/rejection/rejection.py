"""`rejection.py UMBRELLA COMPILER FOLDERS` precompiles the umbrella header into UMBRELLA; with a FILE behind, FILE must be refused with
its `// expect: <regular expression>`, and its control, the same file with MILKIT_REJECTION_CONTROL defined, must compile: so it is
refused for the right reason."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "properties"))
from sources import compiler_from, finish


def main():
    umbrella, cxx = pathlib.Path(sys.argv[1]), compiler_from(sys.argv[2:4])
    if len(sys.argv) == 4:
        cxx.precompile("#include <milkit/milkit.hpp>\n", umbrella)
        finish([], umbrella.name)
    file = pathlib.Path(sys.argv[4])
    first = [] if "\n// without the umbrella" in file.read_text() else cxx.options_of(umbrella)
    expected = re.search(r"^// expect: (.+)$", file.read_text(), re.M)
    if not expected:
        finish(["there is no line `// expect: <regular expression>`"], file.name)
    problems = []
    wrong = cxx.run(file, "-fsyntax-only", *first)
    if wrong.returncode == 0:
        problems.append("it compiles, and must not")
    elif not re.search(expected[1], wrong.stderr):
        problems.append(f"refused, but not with `{expected[1]}`:\n{wrong.stderr[:4000]}")
    control = cxx.run(file, "-fsyntax-only", "-DMILKIT_REJECTION_CONTROL", *first)
    if control.returncode != 0:
        problems.append(f"the control does not compile:\n{control.stderr[:4000]}")
    finish(problems, file.name)


main()
