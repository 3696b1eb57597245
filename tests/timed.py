"""Times the commands of a build: `timed.py LOG COMMAND...` runs COMMAND and adds a line `seconds<TAB>what` to LOG, in processor time of
the command and its children; `.ci/run` gives it to CMake as the launcher of the compilers. `timed.py LOG` alone prints the ten slowest."""
import pathlib
import resource
import subprocess
import sys


def what(command):
    """The source that a compiler is given, or the command's first words."""
    after = [b for a, b in zip(command, command[1:]) if a == "-c"]
    return after[-1] if after else " ".join(command[:2])


def main():
    log, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
    if not command:
        rows = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
        rows.sort(key=lambda row: -float(row[0]))
        print(f"  {sum(float(r[0]) for r in rows):.0f} s of processor time in {len(rows)} compilations; the slowest:")
        for seconds, name in rows[:10]:
            print(f"  {float(seconds):6.1f} s  {name}")
        return 0
    code = subprocess.run(command).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("a") as file:
        file.write(f"{used.ru_utime + used.ru_stime:.3f}\t{what(command)}\n")
    return code


sys.exit(main())
