"""Every C++ file is as .clang-format has it. Versions of clang-format differ, so another than 14 is no judge: exit code 77."""
import os
import re
import shutil
import subprocess

from sources import *

program = shutil.which("clang-format-14") or shutil.which("clang-format")
version = re.search(r"version (\d+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout) if program else None
if not version or version[1] != "14":
    print("skipped: there is no clang-format 14 (clang-format)")
    sys.exit(77)
files = sorted(str(p) for folder in ("include", "tests", "examples", "benchmarks") for p in (root / folder).rglob("*")
               if p.suffix in (".hpp", ".ipp", ".cpp", ".cuh", ".cu"))
found = subprocess.run([program, "--dry-run", "--Werror", *files], capture_output=True, text=True)
wrong = sorted({os.path.relpath(line.split(":")[0], root) for line in found.stderr.splitlines() if ": error:" in line})
finish([f"{name} is not formatted: clang-format -i {name}" for name in wrong], f"format of {len(files)} files")
