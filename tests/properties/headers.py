"""Each header compiles alone, twice in one file; and all of them after common macros have been defined.

A header whose third-party headers this machine lacks is named and left out. Results are kept by content, so that a second
run only compiles what changed. What it does not see: templates that nothing instantiates, macros that are not listed."""
import concurrent.futures
import hashlib
import os
import pathlib

from sources import *

poison = """I J PI TWO_PI E N M K L H W small near far interface IN OUT CONST ERROR OPTIONAL B0 B1 B50 B110 DEBUG INFO WARNING
None Bool Status Success True False Always Convex Complex CurrentTime signals slots emit foreach nil Nil YES NO
_B _C _L _N _P _S _U _X EPS EPSILON MAX MIN ABS SQR SWAP STRICT TRUE FALSE UNUSED ASSERT CHECK LOG""".split()


def key_of(header, cxx):
    text = " ".join([cxx.command, *cxx.flags]) + cxx.run("", "--version").stdout + __doc__
    return hashlib.sha256((text + "".join(p.read_text() for p in sorted(closure(header)))).encode()).hexdigest()


def main():
    cache = pathlib.Path(sys.argv[1])
    cache.mkdir(parents=True, exist_ok=True)
    cxx = compiler_from(sys.argv[2:])
    cxx.flags += ["-Wall", "-Wextra", "-Werror"]
    missing = {h: cxx.unavailable(outside(h)) for h in headers()}
    for header, names in missing.items():
        if names:
            print(f"{name_of(header)}: left out, there is no <{'>, <'.join(names)}>")
    all_headers = [h for h in headers() if not missing[h]]
    # Eigen first, precompiled, for headers that include it anyway: in half the time.
    cxx.precompile("#include <Eigen/Core>\n", cache / "eigen.hpp")
    eigen = cxx.options_of(cache / "eigen.hpp")

    def alone(header):
        mark = cache / key_of(header, cxx)
        if mark.exists():
            return None
        line = f"#include <{name_of(header)}>\n"
        first = eigen if any(is_eigen(n) for n in outside(header)) else []
        result = cxx.run(line + line, "-fsyntax-only", *first)
        if result.returncode == 0:
            mark.touch()
            return None
        return f"{name_of(header)} does not compile alone:\n{result.stderr[:4000]}"

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [p for p in pool.map(alone, all_headers) if p]

    if not problems:
        others = sorted({n for h in all_headers for n in outside(h)})
        code = "".join(f"#if __has_include(<{n}>)\n#include <{n}>\n#endif\n" for n in others)
        code += "".join(f"#undef {m}\n#define {m} milkit_meets_a_macro ) ( }}\n" for m in poison)
        code += "".join(f"#include <{name_of(h)}>\n" for h in all_headers)
        result = cxx.run(code, "-fsyntax-only")
        if result.returncode != 0:
            problems.append(f"with common macros defined:\n{result.stderr[:6000]}")
    finish(problems, f"{len(all_headers)} headers by {cxx.command}")


main()
