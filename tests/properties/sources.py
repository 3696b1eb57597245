"""What the property checks know about the sources: headers, includes, floors, compilers."""
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
include = root / "include"

# Each floor and those it may include. `version.hpp` and the files of a folder itself go without saying.
families = ["pooling", "topk", "sampling", "masking", "norm", "local", "loss"]
below = {}
below["core"] = []
below["data"] = ["core"]
below["slide"] = ["core"]
below["ops"] = ["core", "data", "slide"]
below["nn"] = ["ops"] + below["ops"]
for family in families:
    below[family] = ["nn"] + below["nn"]
below["encoders"] = below["train"] = below["report"] = families + below["pooling"]
below["models"] = ["encoders", "train", "report"] + below["train"]

eigen_only = ["core", "ops", "nn", *families, "encoders", "train", "models"]  # floors whose headers the umbrella holds


def headers(*suffixes):
    return sorted(p for p in (include / "milkit").rglob("*") if p.name.endswith(suffixes or (".hpp",)))


def name_of(header):
    return header.relative_to(include).as_posix()


def floor_of(header):
    parts = header.relative_to(include / "milkit").parts
    return parts[0] if len(parts) > 1 else None


def includes(header):
    """The headers named by `header`: those of milkit as paths, all others as they are written."""
    own, other = [], []
    for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', header.read_text(), re.M):
        if name.startswith("milkit/"):
            own.append(include / name)
        elif (header.parent / name).exists():
            own.append((header.parent / name).resolve())
        else:
            other.append(name)
    return own, other


def closure(header):
    """`header` and every header of milkit that it includes at any depth."""
    seen, rest = [], [header]
    while rest:
        each = rest.pop()
        if each not in seen and each.exists():
            seen.append(each)
            rest += includes(each)[0]
    return seen


def outside(header):
    """The headers of other projects that `header` includes at any depth."""
    return sorted({name for each in closure(header) for name in includes(each)[1]})


def is_standard(name):
    platform = ("omp.h", "fcntl.h", "unistd.h", "stdlib.h", "immintrin.h", "io.h", "windows.h")
    return re.fullmatch(r"[a-z0-9_]+|sys/[a-z]+\.h", name) is not None or name in platform


def is_eigen(name):
    return name.startswith("Eigen/")


class compiler:
    def __init__(self, command, flags):
        self.command = command
        self.flags = ["-std=c++20", "-fmessage-length=0", "-I" + str(include)] + flags
        if self.run("#include <omp.h>\n", "-fopenmp", "-fsyntax-only").returncode == 0:
            self.flags.append("-fopenmp")

    def run(self, code, *arguments):
        """Compiles `code`, given as text or as a file; returns the finished process."""
        if isinstance(code, pathlib.Path):
            return subprocess.run([self.command, *self.flags, *arguments, str(code)], capture_output=True, text=True)
        with tempfile.NamedTemporaryFile("w", suffix=".cpp") as file:
            file.write(code)
            file.flush()
            return subprocess.run([self.command, *self.flags, *arguments, file.name], capture_output=True, text=True)

    def precompile(self, code, header):
        """Writes `code` to `header` and precompiles it."""
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(code)
        made = self.run(header, "-x", "c++-header", "-o", self.options_of(header)[1] if self.is_clang() else f"{header}.gch")
        if made.returncode != 0:
            finish([made.stderr[:4000]], header.name)

    def options_of(self, header):
        """Options that include a precompiled header first."""
        return ["-include-pch", f"{header}.pch"] if self.is_clang() else ["-include", str(header)]

    def is_clang(self):
        return "clang" in self.run("", "--version").stdout

    def unavailable(self, names):
        """Those of `names` that this machine has no header for, standard ones aside."""
        names = [n for n in names if not is_standard(n)]
        text = "".join(f"#if __has_include(<{n}>)\nfound {n}\n#endif\n" for n in names)
        found = {line[6:] for line in self.run(text, "-E", "-P").stdout.splitlines() if line.startswith("found ")}
        return sorted(set(names) - found)


def compiler_from(arguments):
    """`COMPILER FILE`: the file names the include folders that the build found, one a line."""
    folders = pathlib.Path(arguments[1]).read_text().split()
    return compiler(arguments[0], [f"-isystem{f}" for f in folders if f not in ("/usr/include", str(include))])


def finish(problems, what):
    for problem in problems:
        print(problem)
    print(f"{what}: {len(problems)} problems" if problems else f"{what}: good")
    sys.exit(1 if problems else 0)
