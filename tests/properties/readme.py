"""The code sample of README.md compiles, trains on bags that this script makes, and writes its weights.

Not seen: whether the text around it is true."""
import random

from sources import *

cxx = compiler_from(sys.argv[1:])
sample = re.search(r"```cpp\n(.*?)```", (root / "README.md").read_text(), re.S)
problems = []
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "sample.cpp").write_text(sample.group(1))
    random.seed(1)
    rows = []
    for bag in range(30):
        for instance in range(3):
            shift = 2.0 if bag % 2 and instance == 0 else 0.0
            rows.append(",".join([f"b{bag}", str(bag % 2)] + [f"{random.gauss(shift, 1):.4f}" for _ in range(230)]))
    (folder / "bags.csv").write_text("\n".join(rows) + "\n")
    build = subprocess.run([cxx.command, *cxx.flags, "-O1", "sample.cpp", "-o", "sample"],
                           cwd=folder, capture_output=True, text=True)
    if build.returncode != 0:
        problems.append("the sample does not compile:\n" + build.stderr[:4000])
    else:
        run = subprocess.run(["./sample", "bags.csv"], cwd=folder, capture_output=True, text=True)
        print(run.stdout)
        if run.returncode != 0 or "test AUC" not in run.stdout or not (folder / "abmil.safetensors").exists():
            problems.append(f"the sample ends with {run.returncode}: {run.stdout} {run.stderr[-2000:]}")
finish(problems, "readme")
