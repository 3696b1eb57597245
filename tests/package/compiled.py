"""milkit::compiled and the headers alone are one library: `compiled.py STAGE LIBRARY COMPILER FLAGS... -- PROGRAM PROGRAM` sees that
both programs, of the headers alone and of LIBRARY, print the same; that every name of LIBRARY is one of the headers; and that a
program of another version, compiler or other options does not link, with the sentence that the missing symbol is."""
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "properties"))
from sources import finish, headers, include, name_of

sentence = "milkit_compiled_was_built_otherwise_this_needs_"
client = "#include <milkit/core/parallel_for.hpp>\nint main() { return 0; }\n"


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True)


def names_of(file, kind):
    """The functions of milkit that an object or a library defines: T for those of one file, W for those of any that needs them."""
    lines = run("nm", "-C", "--defined-only", file).stdout.splitlines()
    return {m[1] for line in lines if (m := re.match(rf"[0-9a-f]+ {kind} (milkit::.*)", line))}


def main():
    stage, library, cxx = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    split = sys.argv.index("--")
    flags, programs = sys.argv[4:split], sys.argv[split + 1:]
    stage.mkdir(parents=True, exist_ok=True)
    problems = []

    printed = [run(program, stage / "bags.csv") for program in programs]
    if any(p.returncode != 0 or not p.stdout for p in printed) or printed[0].stdout != printed[1].stdout:
        problems.append(f"{programs[0]} and {programs[1]} print differently:\n" + "\n".join(p.stdout[:1000] + p.stderr for p in printed))

    bodies = [h for h in headers() if h.with_suffix(".ipp").exists()]
    source = stage / "names.cpp"
    source.write_text("".join(f"#include <{name_of(h)}>\n" for h in bodies))
    alone = run(cxx, *flags, "-UMILKIT_COMPILED", "-O0", "-fkeep-inline-functions", "-c", source, "-o", stage / "names.o")
    if alone.returncode != 0:
        finish([alone.stderr[:4000]], "names of the headers")
    extra = names_of(library, "T") - names_of(stage / "names.o", "W")
    problems += [f"{name} is in the library and not in the headers" for name in sorted(extra)[:20]]

    program = stage / "client.cpp"
    program.write_text(client)
    other = stage / "other" / "milkit"
    other.mkdir(parents=True, exist_ok=True)
    version = (include / "milkit/version.hpp").read_text()
    (other / "version.hpp").write_text(re.sub(r"(VERSION_PATCH) \d+", r"\1 99", version))
    clang = shutil.which("g++" if "clang" in pathlib.Path(cxx).name else "clang++")
    cases = {"the same": (True, [cxx, *flags]),
             "another version": (False, [cxx, f"-I{stage / 'other'}", *flags]),
             "no OpenMP": (False, [cxx, *[f for f in flags if f != "-fopenmp"]]),
             "another processor": (False, [cxx, *[f for f in flags if not f.startswith(("-march", "-mtune"))], "-march=x86-64"]
                                   if any(f.startswith("-march") for f in flags) else None)}
    cases["another compiler"] = (False, [clang, "-w", *flags] if clang else None)
    for name, (links, command) in cases.items():
        if command is None:
            print(f"left out: {name}")
            continue
        compiled = run(*command, "-c", program, "-o", stage / "client.o")
        made = run(cxx, stage / "client.o", library, "-fopenmp", "-o", stage / "client")
        if compiled.returncode != 0:
            problems.append(f"{name}: does not compile:\n{compiled.stderr[:2000]}")
        elif links != (made.returncode == 0) or (not links and sentence not in made.stderr):
            problems.append(f"{name}: {'does not link' if links else 'links, or without the sentence'}:\n{made.stderr[:2000]}")
    finish(problems, f"milkit::compiled, {len(names_of(library, 'T'))} names")


main()
