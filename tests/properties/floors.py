"""Includes point down the floors only; only the optional floors need more than Eigen; the umbrella holds all the others.

`floors.py --write` writes the umbrella. What it does not see: an include spelled by a macro."""
import sys

from sources import *

umbrella = include / "milkit" / "milkit.hpp"
# optional libraries, each met in one file
special = {"core/xtensor.hpp": "xtensor/", "ops/products/matmul_onednn.hpp": "dnnl", "ops/products/matmul_cblas.hpp": "cblas.h"}


def expected_umbrella():
    names = ["milkit/version.hpp"]
    for floor in eigen_only:
        for header in headers():
            if floor_of(header) == floor and all(is_standard(n) or is_eigen(n) for n in outside(header)):
                names.append(name_of(header))
    text = "#pragma once\n/// Everything that needs Eigen alone. Slides, data files and reports have headers of their own: milkit/slide/, data/,\n"
    text += "/// report/. `tests/properties/floors.py --write` writes this file.\n\n"
    return text + "".join(f"#include <{n}>\n" for n in names)


def main():
    if sys.argv[1:] == ["--write"]:
        umbrella.write_text(expected_umbrella())
        return
    problems = []
    for header in headers(".hpp", ".cuh"):
        floor, (own, other) = floor_of(header), includes(header)
        name = name_of(header)
        if floor is not None and floor not in below:
            problems.append(f"{name}: no floor is called {floor}; floors are {', '.join(below)}")
            continue
        for each in own:
            if not each.exists():
                problems.append(f"{name}: includes {each.relative_to(include)}, which does not exist")
            elif floor is not None and floor_of(each) not in [floor, None, *below[floor]]:
                problems.append(f"{name}: floor {floor} includes {name_of(each)}, which is not below it")
            elif floor is not None and floor_of(each) is None and each.name != "version.hpp":
                problems.append(f"{name}: includes the umbrella {name_of(each)}")
        if floor in eigen_only and header.suffix == ".hpp":
            allowed = special.get(name.removeprefix("milkit/"))
            problems += [f"{name}: floor {floor} needs Eigen alone, but this includes <{n}>"
                         for n in other if not is_standard(n) and not is_eigen(n) and not (allowed and allowed in n)]
    if not umbrella.exists() or umbrella.read_text() != expected_umbrella():
        problems.append("milkit/milkit.hpp does not hold every header that needs Eigen alone: run tests/properties/floors.py --write")
    finish(problems, "floors")


main()
