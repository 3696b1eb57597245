"""`rejection.py FILE COMPILER FOLDERS`: FILE must be refused with its `// expect: <regular expression>`, and its control,
the same file with MILKIT_REJECTION_CONTROL defined, must compile: so it is refused for the right reason."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "properties"))
from sources import compiler_from, finish


def main():
    file = pathlib.Path(sys.argv[1])
    cxx = compiler_from(sys.argv[2:])
    expected = re.search(r"^// expect: (.+)$", file.read_text(), re.M)
    if not expected:
        finish(["there is no line `// expect: <regular expression>`"], file.name)
    problems = []
    wrong = cxx.run(file, "-fsyntax-only")
    if wrong.returncode == 0:
        problems.append("it compiles, and must not")
    elif not re.search(expected[1], wrong.stderr):
        problems.append(f"refused, but not with `{expected[1]}`:\n{wrong.stderr[:4000]}")
    control = cxx.run(file, "-fsyntax-only", "-DMILKIT_REJECTION_CONTROL")
    if control.returncode != 0:
        problems.append(f"the control does not compile:\n{control.stderr[:4000]}")
    finish(problems, file.name)


main()
