"""Includes point down the floors only; only the optional floors need more than Eigen; the umbrellas hold all the others.

`floors.py --write` writes the umbrellas. What it does not see: an include spelled by a macro."""
import sys

from sources import *

# optional libraries, each met in one file
special = {"core/xtensor.hpp": "xtensor/", "ops/products/matmul_onednn.hpp": "dnnl", "ops/products/matmul_cblas.hpp": "cblas.h"}


def umbrella_of(words, names):
    text = f"#pragma once\n/// {words} `tests/properties/floors.py --write` writes\n/// this file.\n\n// clang-format off\n"
    return text + "".join(f"#include <{n}>\n" for n in names)


def umbrellas():
    """Both umbrella headers, and what they should hold."""
    blocks = [name_of(h) for floor in eigen_only for h in headers()
              if floor_of(h) == floor and all(is_standard(n) or is_eigen(n) for n in outside(h))]
    kernels = [name_of(h) for h in headers("_cuda.cuh") if re.fullmatch(r"milkit/ops/\w+/\w+_cuda.cuh", name_of(h))]
    above_ops = [n for n in blocks if not n.startswith(("milkit/core/", "milkit/ops/"))]
    return {include / "milkit/milkit.hpp": umbrella_of(
                "Everything that needs Eigen alone. Slides, data files and reports have headers of their own.",
                ["milkit/version.hpp", *blocks]),
            include / "milkit/milkit_cuda.cuh": umbrella_of(
                "Everything for `milkit::cuda`: include it from a .cu file, beside or instead of milkit.hpp.",
                ["milkit/core/to_backend.cuh", *kernels, *above_ops])}


def main():
    if sys.argv[1:] == ["--write"]:
        for file, text in umbrellas().items():
            file.write_text(text)
        return
    problems = []
    for header in headers(".hpp", ".ipp", ".cuh"):
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
        if floor in eigen_only and header.suffix != ".cuh":
            allowed = special.get(name.removeprefix("milkit/"))
            problems += [f"{name}: floor {floor} needs Eigen alone, but this includes <{n}>"
                         for n in other if not is_standard(n) and not is_eigen(n) and not (allowed and allowed in n)]
    problems += [f"{name_of(file)} does not hold every header: run tests/properties/floors.py --write"
                 for file, text in umbrellas().items() if not file.exists() or file.read_text() != text]
    finish(problems, "floors")


main()
