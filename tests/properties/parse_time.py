"""What the umbrella costs whoever includes it: the memory that g++ takes to parse it, as a multiple of what Eigen/Core takes.
The memory is the same on every machine at any load, and the time follows it; times are printed, not asserted. Lower the budget
with what is saved."""
import resource

from sources import *

budget = 2.2


def main():
    cxx = compiler_from(sys.argv[1:])
    taken = {}
    for name in ("Eigen/Core", "milkit/milkit.hpp"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = cxx.run(f"#include <{name}>\n", "-fsyntax-only", "-ftime-report")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = re.search(r"^ *TOTAL .* (\d+)([kMG]?) *$", result.stderr, re.MULTILINE)
        if result.returncode != 0 or not total:
            finish([result.stderr[:4000]], name)
        taken[name] = int(total[1]) * {"": 1e-6, "k": 1e-3, "M": 1, "G": 1e3}[total[2]]
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name}: {taken[name]:.0f} MB, {seconds:.2f} s of processor time")
    ratio = taken["milkit/milkit.hpp"] / taken["Eigen/Core"]
    problem = f"the umbrella takes {ratio:.2f} times as much memory to parse as Eigen/Core, expected at most {budget}"
    finish([problem] if ratio > budget else [], f"parse time ({ratio:.2f} of {budget})")


main()
