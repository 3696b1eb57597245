"""`examples.py CASE DATA_FOLDER PROGRAM...`: starts the example programs as a user would, and looks at exit codes, what
they say and what they write. A case is a function below. Ends with 77 (skipped) where the data it needs is missing.

What it does not see: whether the figures are good, which BENCHMARKS.md says. Nothing here has a limit of time but CTest's on
the whole case, which is there to end what hangs."""
import csv
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import zlib

source = pathlib.Path(__file__).resolve().parents[2]
musk = source / "examples" / "data" / "musk1.data"
programs = {pathlib.Path(p).name: p for p in sys.argv[3:]}


def data(name):
    folder = pathlib.Path(os.environ.get("MILKIT_DATA_DIR") or sys.argv[2]) / name
    if not folder.exists():
        print(f"skipped: there is no {folder} (set MILKIT_DATA_DIR)")
        sys.exit(77)
    return folder


def run(program, *arguments, code):
    done = subprocess.run([programs[program], *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    said = f"{program} {' '.join(map(str, arguments))}\n-> {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, f"expected {code}: {said}"
    return done


def expect(text, *parts):
    for part in parts:
        assert part in text, f"'{part}' is not in:\n{text}"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_png(path, width, height, pixel, colour_type=2):
    """pixel(x, y) -> (red, green, blue); (grey,) for colour type 0, (red, green, blue, alpha) for 6."""
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def help_and_usage(folder):
    for program in programs:
        shown = run(program, "--help", code=0)
        if program not in ("make_cohort", "zoom_train", "zoom_predict"):  # these are told a folder
            expect(shown.stdout, "--out")
        expect(shown.stdout, "--help")
        assert shown.stderr == "", shown.stderr
        for wrong in (["--no-such-option"], []):
            refused = run(program, *wrong, code=2)
            assert refused.stderr != "", f"{program} {wrong}: nothing on stderr"
    for wrong in (["--dropout", "2"], ["--dropout", "1"], ["--dropout", "nan"], ["--drop", "1"], ["--noise", "-1"],
                  ["--learning-rate", "x"], ["--epochs", "0"], ["--folds", "1"], ["--pooling", "median"]):
        refused = run("classic_bags", musk, *wrong, "--out", folder / "out", code=2)
        expect(refused.stderr, wrong[0])
    assert not (folder / "out").exists()
    run("slide_overview", "x.svs", "--overlap", "256", code=2)


def bad_bags(folder):
    def refusal(name, text, *parts):
        (folder / name).write_text(text)
        done = run("classic_bags", folder / name, "--out", folder / "out", code=1)
        expect(done.stderr, "classic_bags: ", *parts)
    refusal("ragged.csv", "bag,label,f1,f2\n1,0,1,2\n1,0,1\n", "ragged.csv, line 3", "has 3 fields, expected 4",
            "column 4")
    refusal("text.csv", "bag,label,f1\n1,0,1\n2,1,x\n", "text.csv, line 3, column 3 (f1): 'x' is not a number")
    refusal("labels.csv", "bag,label,f1\n1,0,1\n2,2,3\n", "labels.csv: bag '2' has label 2, expected 0 or 1")
    refusal("few.csv", "bag,label,f1\n1,0,1\n2,1,3\n", "folds is 10, expected at most")


def classic_bags(folder):
    done = run("classic_bags", musk, "--folds", 2, "--repeats", 1, "--epochs", 1, "--out", folder, code=0)
    expect(done.stdout, "92 bags, 476 instances, 166 features", "accuracy", "report.html")
    metrics = json.loads((folder / "metrics.json").read_text())
    for figure in ("accuracy", "auc"):
        assert 0 <= metrics[figure]["mean"] <= 1 and 0 <= metrics[figure]["std"] <= 1, metrics
    assert len(metrics["folds"]) == 2 and metrics["settings"]["pooling"] == "gated", metrics
    rows = rows_of(folder / "predictions.csv")
    assert len(rows) == 92 and len({r["bag"] for r in rows}) == 92, len(rows)
    right = {"1": [0, 0], "2": [0, 0]}
    for r in rows:
        p = [float(r["probability_0"]), float(r["probability_1"])]
        assert abs(sum(p) - 1) < 1e-6 and int(r["prediction"]) == (p[1] > p[0]), r
        right[r["fold"]][0] += r["prediction"] == r["label"]
        right[r["fold"]][1] += 1
    mean = sum(a / b for a, b in right.values()) / 2
    assert abs(mean - metrics["accuracy"]["mean"]) < 1e-9, (mean, metrics)
    expect((folder / "report.html").read_text(), "<svg", "musk1, gated pooling")
    expect((folder / "loss.svg").read_text(), "<svg")
    # Two files: each has a folder of its own.
    small = "".join(f"{b},{b % 2},{b}.5,{i}\n" for b in range(8) for i in range(2))
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(small)
    run("classic_bags", folder / "a.csv", folder / "b.csv", "--folds", 4, "--repeats", 1, "--epochs", 1, "--pooling",
        "mean", "--out", folder / "both", code=0)
    for name in ("a", "b"):  # folds of one bag a class have an AUC; what has none is null, and the page is written
        json.loads((folder / "both" / name / "metrics.json").read_text())
        expect((folder / "both" / name / "held_out.svg").read_text(), "<svg")


def without_cuda(folder):
    done = run("classic_bags", musk, "--device", "cuda", "--out", folder, code=1)
    expect(done.stderr, "this program was built without CUDA", "cmake --preset cuda")


def slides(folder):
    good = source / "examples" / "data" / "CMU-1-Small-Region.svs"
    run("slide_overview", good, "--out", folder / "alone", code=0)
    tiles = rows_of(folder / "alone" / "tiles.csv")
    assert len(tiles) > 10 and all(0.1 <= float(t["tissue"]) <= 1 for t in tiles), len(tiles)
    assert set(tiles[0]) == {"x", "y", "width", "height", "column", "row", "tissue"}, tiles[0]
    missing = run("slide_overview", folder / "none.svs", "--out", folder / "none", code=1)
    expect(missing.stderr, "none.svs: there is no such file")
    nowhere = run("slide_overview", "no/such/../" + "x" * 5000, "--out", folder / "none", code=1)  # no name of a file
    expect(nowhere.stderr, "slide_overview: ")


def slides_of_a_folder(folder):
    place = data("slides")
    done = run("slide_overview", place, "--native", "--check", "--out", folder, code=1)
    expect(done.stderr, "unopenable.tiff: opening failed", "unreadable.svs: reading", "2 failed, named above")
    expect(done.stdout, "3 slides done, 2 failed")
    for name in ("CMU-1-Small-Region.svs", "small.svs", "boxes.tiff"):
        for file in ("tiles.csv", "overview.png", "report.html"):
            assert (folder / name / file).stat().st_size > 0, name
    assert not (folder / "unopenable.tiff" / "report.html").exists()


def write_colon(folder, nuclei):
    """Eight small pictures of pink ground; those with the label 1 have a dark spot at their first nucleus."""
    folder.mkdir()
    labels, lines = ["image,label"], ["image,type,x,y"]
    for i in range(8):
        spot = [(12, 14), (30, 20)][i % 2] if i % 2 else None
        near = lambda x, y: spot and (x - spot[0]) ** 2 + (y - spot[1]) ** 2 < 30
        write_png(folder / f"img{i}.png", 40 + i, 36, lambda x, y: (60, 30, 110) if near(x, y) else (230, 190 + i, 215))
        labels.append(f"img{i}.png,{i % 2}")
        for k, (x, y) in enumerate([spot or (12, 14), (5, 30), (39.6, 0)]):
            lines.append(f"img{i}.png,{'epithelial' if i % 2 and k == 0 else 'fibroblast'},{x},{y}")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    (folder / "nuclei.csv").write_text("\n".join(lines + nuclei) + "\n")


def last_weights_before_best_epoch(done, out):
    """Our figure comes first; beside it the one that is made as published figures are, named for what it is."""
    published = "best epoch on the test fold, as published"
    assert 0 < done.stdout.find(": accuracy ") < done.stdout.find(published), done.stdout
    page = (out / "report.html").read_text()
    assert 0 < page.find("of the last epoch") < page.find(published), "report.html"
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 <= metrics[published]["accuracy"]["mean"] <= 1, metrics


def colon_nuclei(folder):
    write_colon(folder / "images", [])
    done = run("colon_nuclei", folder / "images", "--folds", 2, "--only-fold", 1, "--epochs", 1,
               "--out", folder / "out", code=0)
    expect(done.stdout, "Colon nuclei, gated pooling: accuracy")
    last_weights_before_best_epoch(done, folder / "out")
    for file in ("report.html", "attention.png", "metrics.json", "loss.svg"):
        assert (folder / "out" / file).stat().st_size > 0, file
    assert (folder / "out" / "attention.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    expect((folder / "out" / "report.html").read_text(), "A positive test image", "data:image/png")
    rows = rows_of(folder / "out" / "predictions.csv")
    assert len(rows) == 4 and all(r["bag"].startswith("img") for r in rows), rows
    wrong = {"img0.png,fibroblast,41,5": "'41' is outside the picture, expected 0 to 40",
             "img0.png,fibroblast,5,-1": "'-1' is outside the picture, expected 0 to 36",
             "img9.png,fibroblast,5,5": "'img9.png' is an image that labels.csv does not have",
             "img0.png,fibroblast,5,x": "'x' is not a number"}
    for i, (line, part) in enumerate(wrong.items()):
        write_colon(folder / f"bad{i}", [line])
        done = run("colon_nuclei", folder / f"bad{i}", "--out", folder / "out", code=1)
        expect(done.stderr, "nuclei.csv, line 26", part)


def write_whole_images(folder):
    """Eight pictures of 120 x 130 pixels, four of them with dark spots."""
    folder.mkdir()
    lines = ["image,label"]
    for i in range(8):
        spot = lambda x, y: i % 2 and (x // 12 + y // 12) % 5 == 0
        write_png(folder / f"img{i}.png", 130, 120, lambda x, y: (60, 30, 110) if spot(x, y) else (230, 180 + i, (7 * x + 3 * y) % 40 + 180))
        lines.append(f"img{i}.png,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "nuclei.csv").write_text("image,type,x,y\n" + "".join(f"img{i}.png,epithelial,{30 + i},40\n" for i in (1, 3, 5, 7)))


def zoom_in_colon(folder):
    """Both networks, both gradients: all files are written and every image is predicted once."""
    write_whole_images(folder / "images")
    for options in ([], ["--one-stage"], ["--official-gradient", "--no-contrast"]):
        out = folder / "_".join(["out", *options])
        done = run("zoom_in_colon", folder / "images", "--draws", 4, "--looks", 2, "--folds", 2, "--epochs", 2,
                   "--even-epochs", 1, *options, "--out", out, code=0)
        stages = "one stage" if options == ["--one-stage"] else "two stages"
        expect(done.stdout, stages + ": accuracy", "Spearman: ")
        last_weights_before_best_epoch(done, out)
        metrics = json.loads((out / "metrics.json").read_text())
        assert len(metrics["folds"]) == 2, metrics
        rows = rows_of(out / "predictions.csv")
        assert sorted(r["bag"] for r in rows) == [f"img{i}.png" for i in range(8)], rows
        for r in rows:
            assert abs(float(r["probability_0"]) + float(r["probability_1"]) - 1) < 1e-5, r
        assert (out / "attention_1.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", out
        expect((out / "report.html").read_text(), "<svg", "2 folds")


def zoom_in_colon_bad_input(folder):
    """What cannot be used is named, skipped and counted; grey and transparent images are told of once."""
    images = folder / "images"
    write_whole_images(images)
    (images / "img0.png").write_bytes((images / "img0.png").read_bytes()[:200])
    for name in ("img2.png", "img4.png"):
        write_png(images / name, 120, 120, lambda x, y: ((x * y) % 250,), colour_type=0)
    write_png(images / "img1.png", 120, 90, lambda x, y: (60, 30, 110, x), colour_type=6)
    write_png(images / "unnamed.png", 60, 60, lambda x, y: (1, 2, 3))
    with open(images / "labels.csv", "a") as file:
        file.write("missing.png,1\n")
    out = folder / "out"
    done = run("zoom_in_colon", images, "--draws", 3, "--looks", 1, "--folds", 2, "--epochs", 1, "--out", out, code=0)
    skipped = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 3, done.stderr
    for name in ("img0.png", "missing.png", "unnamed.png: labels.csv has no label for it"):
        assert sum(name in line for line in skipped) == 1, skipped
    assert done.stderr.count(" is grey") == 1 and done.stderr.count(" is transparent") == 1, done.stderr
    assert json.loads((out / "metrics.json").read_text())["settings"]["skipped"] == "3", out
    expect((out / "report.html").read_text(), "7 images, 3 skipped", "unnamed.png")

    wrong = {"image,label\nimg1.png,2\n": "'2' is a label, expected 0 or 1",
             "image,label\nimg1.png,1\n\"img1.png \",1\n": "line 3, column 1 (image): 'img1.png' is there twice",
             "image,label\nimg1.png,1\n./img1.png,1\n": "line 3, column 1 (image): './img1.png' is a file that is there twice",
             "image,label\nimg1.png,1\nimg3.png,1\n": "0 images with label 0 can be used, expected at least 2",
             "picture,label\nimg1.png,1\n": "image"}
    for text, part in wrong.items():
        (images / "labels.csv").write_text(text)
        refused = run("zoom_in_colon", images, "--out", out, code=1)
        expect(refused.stderr, "labels.csv", part)
    for option in (["--no-such-option"], ["--draws", 0], ["--folds", 1], ["--stain", 2], ["--device", "tpu"]):
        expect(run("zoom_in_colon", images, *option, "--out", out, code=2).stderr, option[0])


def killed(when, program, *arguments):
    """Starts a program and kills it as soon as `when()` holds; it may have come to its end before."""
    started = subprocess.Popen([programs[program], *map(str, arguments)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    while not when() and started.poll() is None:
        time.sleep(0.01)
    started.kill()
    started.wait()


def zoom_mil(folder):
    """From a cohort to the page; each program is killed once on the way, and ends with what an undisturbed run gives."""
    cohort, study, other = folder / "cohort", folder / "study", folder / "other"
    make = ["make_cohort", cohort, "--slides", 12, "--side", 1536]
    killed(lambda: len(list(cohort.glob("*.tiff"))) > 2, *make)
    expect(run(*make, code=0).stdout, "12 slides of 1536 x 1536 pixels", "were there)")
    assert len(list(cohort.glob("*.tiff"))) == 12 and len(rows_of(cohort / "cohort.csv")) == 12
    refused = run(*make[:-1], 1024, code=1)
    expect(refused.stderr, "holds a cohort of other settings (seed 1, side 1536")
    assert sorted(p.stem for p in (cohort / "truth").glob("*.png")) == [f"slide_{i:03}" for i in range(1, 13)]

    table = ["--table", cohort / "cohort.csv", "--tile", 64]
    killed(lambda: len(list(study.glob("features/*.h5"))) > 2, "zoom_prepare", cohort, *table, "--out", study)
    done = run("zoom_prepare", cohort, *table, "--out", study, code=0)
    expect(done.stdout, "12 slides prepared", "of them earlier")
    run("zoom_prepare", cohort, *table, "--out", other, code=0)
    wrong = run("zoom_prepare", cohort, *table[:-1], 128, "--out", other, code=1)
    expect(wrong.stderr, "study.json: tile is 64, but this run asks for 128")
    (other / "study.json").unlink()
    wrong = run("zoom_prepare", cohort, *table[:-1], 128, "--out", other, code=1)
    expect(wrong.stderr, "slide_001 is left out", "its tile_size is '64', expected '128'")
    (other / "study.json").unlink()
    run("zoom_prepare", cohort, *table, "--out", other, code=0)

    training = ["--folds", 2, "--epochs", 20, "--narrowing-epochs", 8, "--k", 4, "--validation", 0.3, "--seed", 3]
    killed(lambda: len(list(study.glob("models/*.checkpoint"))) > 1, "zoom_train", study, *training)
    said = run("zoom_train", study, *training, code=0).stdout
    assert run("zoom_train", other, *training, "--threads", 1, code=0).stdout == said
    expect(said, "12 slides, 2 folds", *(f"{name:10} AUC" for name in ("zoom_mil", "perturbed", "hard", "random", "abmil_low", "abmil_high")))
    for name in ("predictions.csv", "metrics.json", "splits.csv", "curves.svg"):
        assert (study / name).read_bytes() == (other / name).read_bytes(), name
    for weights in (study / "models").glob("*.safetensors"):
        assert weights.read_bytes() == (other / "models" / weights.name).read_bytes(), weights
    parts = rows_of(study / "splits.csv")
    patients = {r["slide_id"]: r["case_id"] for r in rows_of(cohort / "cohort.csv")}
    for fold in "12":
        where = {}
        for r in (r for r in parts if r["fold"] == fold):
            assert where.setdefault(patients[r["slide_id"]], r["part"]) == r["part"], r
        assert sum(r["fold"] == fold for r in parts) == 12
    refused = run("zoom_train", study, *training, "--whole-epochs", 13, code=1)
    expect(refused.stderr, "--whole-epochs and --narrowing-epochs", "at most the 20 of --epochs")
    anew = run("zoom_train", other, *training[:-1], 4, code=0)  # its checkpoints are of another seed, and so of other folds
    expect(anew.stderr, "zoom_mil_fold1.checkpoint is of other slides, features or options: trained anew")
    assert (other / "predictions.csv").read_bytes() != (study / "predictions.csv").read_bytes()

    done = run("zoom_predict", study, "--truth", cohort / "truth", "--pictures", 2, "--timed", 3, code=0)
    expect(done.stdout, "12 slides predicted", "saved", "report.html")
    predicted = {r["slide_id"]: r for r in rows_of(study / "predicted.csv")}
    trained = {r["slide_id"]: r for r in rows_of(study / "predictions.csv") if r["method"] == "zoom_mil"}
    assert len(predicted) == len(trained) == 12
    for slide, r in predicted.items():  # reading only what is looked at changes nothing
        assert abs(float(r["probability_1"]) - float(trained[slide]["probability_1"])) < 1e-4, (r, trained[slide])
        assert int(r["tiles_seen"]) < int(r["tiles_at_highest"]), r
    page = (study / "report.html").read_text()
    expect(page, "ZoomMIL", "Compared on the same splits", "random selection", "Where it looked", "slide_001", "<svg")
    shown = list((study / "slides").iterdir())
    assert len(shown) == 2, shown
    for file in ("zoom_path.png", "attention_5x.png", "attention_20x.png", "attention_20x.csv"):
        assert (shown[0] / file).stat().st_size > 0, file
    compared = json.loads((study / "comparison.json").read_text())
    assert compared["zoom_mil"]["tiles"] < compared["abmil_high"]["tiles"], compared

    # A slide of another scanner, of one level: by the networks of all folds.
    done = run("zoom_predict", study, "--slides", source / "examples" / "data" / "CMU-1-Small-Region.svs", code=0)
    expect(done.stdout, "1 slides predicted")


def zoom_mil_bad_input(folder):
    place = data("slides")
    done = run("zoom_prepare", place, "--out", folder / "all", "--tile", 64, code=0)
    expect(done.stderr, "boxes is left out", "(here: --slide-mpp)", "unopenable is left out", "unreadable is left out")
    expect(done.stdout, "slides prepared", "left out, named above")
    skipped = {r["slide_id"]: r["skipped"] for r in rows_of(folder / "all" / "slides.csv")}
    assert skipped["CMU-1-Small-Region"] == "" and "opening failed" in skipped["unopenable"], skipped
    done = run("zoom_prepare", place / "boxes.tiff", "--slide-mpp", 0.5, "--tile", 32, "--out", folder / "boxes", code=0)
    expect(done.stdout, "1 slides prepared")
    done = run("zoom_prepare", place / "boxes.tiff", "--slide-mpp", 2, "--out", folder / "coarse", code=1)
    expect(done.stderr, "finer than level 0")
    expect(run("zoom_train", folder / "all", code=1).stderr, "no slide has features and a label")
    expect(run("zoom_train", folder, code=1).stderr, "holds no study.json; run zoom_prepare first")
    expect(run("zoom_predict", folder / "all", code=1).stderr, "holds no metrics.json; run zoom_train first")
    for wrong in (["--magnifications", "20"], ["--magnifications", "20,10,5"], ["--magnifications", "5,15"]):
        refused = run("zoom_prepare", place / "CMU-1-Small-Region.svs", *wrong, "--out", folder / "steps", code=1)
        expect(refused.stderr, "expected 2")
        (folder / "steps" / "study.json").unlink(missing_ok=True)
    for text, part in {"slide_id,case_id,label\nboxes,a,x\n": "'x' is not a",
                       "slide_id,case_id,label\nboxes,a,-1\n": "expected 0 or more",
                       "slide_id,case_id,label\nboxes,a,1\nboxes,a,1\n": "is there twice",
                       "slide_id,label\nboxes,1\n": "has no column 'case_id'",
                       "slide_id,case_id,label\nnone,a,1\n": "names no slide of"}.items():
        (folder / "table.csv").write_text(text)
        refused = run("zoom_prepare", place, "--table", folder / "table.csv", "--out", folder / "table", code=1)
        expect(refused.stderr, part)
    run("zoom_prepare", place, "--encoder", "vgg", code=2)


def write_slide(path, shade, mpp=0.5, width=640, height=512, tile=128):
    """A tiled TIFF, deflated: tissue of this shade with a white margin of 64 pixels."""
    def block(left, top):
        inside = lambda x, y: 64 <= x < width - 64 and 64 <= y < height - 64
        return zlib.compress(bytes(v for y in range(top, top + tile) for x in range(left, left + tile)
                                   for v in ((shade, 60, shade + (x * y) % 30) if inside(x, y) else (240, 240, 240))))
    blocks = [block(x, y) for y in range(0, height, tile) for x in range(0, width, tile)]
    table = 8 + 2 + 14 * 12 + 4  # behind the directory: bits, resolution, offsets and counts of the blocks, the blocks
    offsets, first = table + 8 + 8, table + 16 + 8 * len(blocks)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, table), (259, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3),
               (282, 5, 1, table + 8), (283, 5, 1, table + 8), (284, 3, 1, 1), (296, 3, 1, 3), (322, 4, 1, tile),
               (323, 4, 1, tile), (324, 4, len(blocks), offsets), (325, 4, len(blocks), offsets + 4 * len(blocks))]
    starts = [first + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) +
                     struct.pack("<IHHHH", 0, 8, 8, 8, 0) + struct.pack("<II", round(1e4 / mpp), 1) +
                     struct.pack(f"<{2 * len(blocks)}I", *starts, *map(len, blocks)) + b"".join(blocks))


def slides_told_apart(folder):
    """Which slide, patient and label a row means is told by more than its text; a slide's features are of its file."""
    slides, out, table = folder / "slides", folder / "out", folder / "table.csv"
    for name, shade in (("a/s0", 80), ("b/s1", 120), ("c/case", 160), ("d/case", 200)):
        write_slide(slides / f"{name}.tif", shade)
    (slides / "link.tif").symlink_to("a/s0.tif")
    (slides / "empty.svs").write_bytes(b"")
    (slides / "gone.svs").symlink_to("nowhere")

    def prepare(text=None, code=0, place=slides, options=()):
        table.write_text(text or "", encoding="utf-8")
        return run("zoom_prepare", place, "--out", out, "--tile", 32, *(["--table", table] if text else []), *options,
                   code=code)
    head = "slide_id,case_id,label\n"
    refused = {head + "s0,,0\ns1,,1\n": "line 2, column 2 (case_id): '' is no id",
               head + "s0,P1,0\ns0.tif,P2,1\n": "line 3, column 1 (slide_id): 's0.tif' is a file that is there twice",
               head + "s0,P1,0\nlink,P2,1\n": "'link' is a file that is there twice",
               head + "case,P1,0\n": "c/case.tif and " + str(slides / "d"),
               head + "s0,P1,20190101\n": "line 2, column 3 (label): '20190101' is a label, expected at most 999",
               head + "s0,P1,1000\n": "'1000' is a label"}
    for text, part in refused.items():
        expect(prepare(text, code=1).stderr, part)
    done = prepare(head + "s0,P1,tumor\n \ns1, P1\u00a0 ,normal\nempty,P2,\n,,\n")
    expect(done.stderr, "the classes are: 0 normal, 1 tumor", "empty is left out", "the file is empty", "gone.svs: is a link")
    rows = rows_of(out / "slides.csv")
    assert [(r["slide_id"], r["case_id"], r["label"]) for r in rows] == [
        ("s0", "P1", "1"), ("s1", "P1", "0"), ("empty", "P2", "")], rows
    expect(prepare("slide_id,case_id,label,path\nx,P3,,c/case.tif\ny,P4,tumor,d/case.tif\n").stderr,
           "earlier runs stay in the study: empty, s0, s1")
    assert [(r["slide_id"], r["label"]) for r in rows_of(out / "slides.csv")] == [
        ("x", ""), ("y", "1"), ("s0", "1"), ("s1", "0"), ("empty", "")]

    out, place = folder / "out2", folder / "place"
    write_slide(place / "b" / "case.tif", 90)
    prepare(place=place)
    first = (out / "features" / "case.h5").read_bytes()
    write_slide(place / "a" / "case.tif", 150)
    prepare(place=place)  # an id stays with its file
    assert {r["slide_id"]: pathlib.Path(r["path"]).parent.name for r in rows_of(out / "slides.csv")} == {
        "case": "b", "case_2": "a"}
    assert (out / "features" / "case.h5").read_bytes() == first != (out / "features" / "case_2.h5").read_bytes()
    write_slide(folder / "other" / "case.tif", 33)
    expect(prepare(place=folder / "other", code=1).stderr, "its id 'case' stands for", str(place / "b" / "case.tif"))
    write_slide(place / "b" / "case.tif", 91)  # scanned again
    expect(prepare(place=place).stderr, "case: is made anew")
    assert (out / "features" / "case.h5").read_bytes() != first

    out = folder / "out3"
    for name, mpp in (("fine", 0.05), ("finer", 0.0005)):
        write_slide(folder / f"{name}.tif", 100, mpp)
        expect(prepare(place=folder / f"{name}.tif", code=1).stderr, f"says {mpp} microns a pixel", "--slide-mpp")
    out = folder / "out4"
    prepare(place=folder / "fine.tif", options=["--slide-mpp", 0.5])
    expect(run("zoom_prepare", place, "--out", folder / "out5", "--encoder", "resnet34", "--weights", "none", code=1).stderr, "none")
    assert not (folder / "out5").exists()


def studies(folder):
    """What was made earlier is used where it was made from the same, and nowhere else; results are not lost."""
    slides, out, table = folder / "slides", folder / "out", folder / "table.csv"
    for i in range(8):
        write_slide(slides / f"s{i}.tif", 70 + 10 * i + 60 * (i % 2))

    def prepare(study, label):
        table.write_text("slide_id,case_id,label\n" + "".join(f"s{i},p{i},{label(i)}\n" for i in range(8)))
        return run("zoom_prepare", slides, "--table", table, "--out", study, "--tile", 64, code=0)

    def train(study, *options, code=0):
        return run("zoom_train", study, "--folds", 2, "--validation", 0.4, "--epochs", 2, "--methods", "zoom_mil", *options, code=code)
    for change, options in ((lambda i: 1 - i % 2, []), (lambda i: i % 2, ["--dropout", 0.8, "--k", 2])):
        prepare(out, lambda i: i % 2), train(out)
        prepare(out, change)
        expect(train(out, *options).stderr, "trained anew")
        fresh = folder / f"fresh{len(options)}"
        prepare(fresh, change), train(fresh, *options)
        assert (out / "predictions.csv").read_bytes() == (fresh / "predictions.csv").read_bytes()
    before = (out / "predictions.csv").read_bytes()
    assert train(out, "--dropout", 0.8, "--k", 2).stderr.count("anew") == 0  # what is the same goes on
    assert (out / "predictions.csv").read_bytes() == before

    quiet = ["--pictures", 0, "--timed", 0]
    run("zoom_predict", out, *quiet, code=0)
    assert len(rows_of(out / "predicted.csv")) == 8
    done = run("zoom_predict", out, "--slides", slides / "s0.tif", slides / "s1.tif", *quiet, code=0)
    expect(done.stdout, "means over the networks of all 2 folds")
    assert [r["fold"] for r in rows_of(out / "new_slides" / "predicted.csv")] == ["mean", "mean"]
    before = (out / "predicted.csv").read_bytes()
    slides.rename(folder / "away")
    expect(run("zoom_predict", out, *quiet, code=1).stderr, "none of 8 slides could be predicted")
    assert (out / "predicted.csv").read_bytes() == before
    (folder / "away").rename(slides)

    damaged = bytearray((out / "features" / "s5.h5").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (out / "features" / "s5.h5").write_bytes(damaged)
    done = train(out)
    expect(done.stderr, "s5 is left out", "s5.h5: is damaged")
    expect(done.stdout, "7 slides")
    prepare(fresh, lambda i: 1)
    expect(train(fresh, code=1).stderr, "all 8 slides have the label 1")


def bag_tables(folder):
    rows = [(f"b{b}", b % 2, b + 0.5 * i, 3 - b) for b in range(8) for i in range(2)]
    forms = {"plain": ("bag,label,f1,f2", lambda b, y, u, v: (b, y, u, v)),
             "fold": ("bag,fold,label,f1,f2", lambda b, y, u, v: (b, 3, y, u, v)),
             "pandas": (",bag,label,0,1", lambda b, y, u, v: (7, b, y, u, v))}
    for name, (head, line) in forms.items():
        (folder / f"{name}.csv").write_text("\n".join([head, *(",".join(map(str, line(*row))) for row in rows)]) + "\n")
        done = run("classic_bags", folder / f"{name}.csv", "--folds", 2, "--repeats", 1, "--epochs", 1, "--out", folder / name, code=0)
        expect(done.stdout, "8 bags, 16 instances, 2 features")
        assert (folder / name / "predictions.csv").read_bytes() == (folder / "plain" / "predictions.csv").read_bytes(), name
        assert (name == "plain") != ("is no feature and is left out" in done.stdout), done.stdout
    (folder / "one.csv").write_text("".join(f"b{b},1,{b}\n" for b in range(6)))
    expect(run("classic_bags", folder / "one.csv", "--folds", 2, "--out", folder / "one", code=1).stderr,
           "all 6 bags have the label 1, expected two labels")
    (folder / "below").mkdir()
    (folder / "below" / "plain.csv").write_bytes((folder / "plain.csv").read_bytes())
    run("classic_bags", folder / "plain.csv", folder / "below" / "plain.csv", "--folds", 2, "--repeats", 1, "--epochs", 1,
        "--out", folder / "both", code=0)
    assert sorted(p.name for p in (folder / "both").iterdir()) == ["plain", "plain_2"]
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([programs["classic_bags"], "--folds", "2", "--repeats", "1", "--epochs", "1", "--out", folder / "full",
                                   folder / "plain.csv"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
        assert done.returncode == 1, done
        expect(done.stderr, "what it says cannot be written")


def zoom_in_needle(folder):
    """Counted before a step is what it takes; what would take too much is not run; both trainings come to their end."""
    out = folder / "out"
    done = run("zoom_in_needle", "--sizes", "576,1024,2048", "--draws", 8, "--memory", 0.4, "--threads", 1, "--train", 1,
               "--training-images", 4, "--test-images", 3, "--training-draws", 8, "--out", out, code=0)
    expect(done.stdout, "all pixels", "not run", "one stage: accuracy", "two stages: accuracy", "report.html")
    metrics = json.loads((out / "metrics.json").read_text())
    steps = {(s["method"], s["side"]): s for s in metrics["steps"]}
    assert len(steps) == 9, steps
    for (method, side), step in steps.items():
        assert step["ran"] == (method != "all pixels" or side == 576), step
        if not step["ran"]:
            assert step["planned_bytes"] > 0.4e9 and step["peak_bytes"] is None and step["seconds"] is None, step
            continue
        assert step["seconds"] > 0 and step["peak_bytes"] <= 0.4e9, step
        if method == "two stages":  # how many tiles are drawn is chance
            assert step["peak_bytes"] <= step["planned_bytes"], step
        else:
            assert step["peak_bytes"] == step["planned_bytes"], step
        # What of it is resident, and since when, is the system's and the allocator's choice.
        assert step["resident_peak_bytes"] is None or step["resident_peak_bytes"] >= 0, step
    grown = lambda method: steps[method, 2048]["planned_bytes"] - steps[method, 1024]["planned_bytes"]
    assert grown("two stages") < grown("one stage") / 2, steps
    assert steps["all pixels", 2048]["planned_bytes"] > 3.9 * steps["all pixels", 1024]["planned_bytes"], steps
    assert [t["method"] for t in metrics["trained"]] == ["one stage", "two stages"], metrics
    for file in ("needle_576.tiff", "needle_2048.tiff", "attention.png"):
        assert (out / file).stat().st_size > 0, file
    for file in ("memory.svg", "time.svg"):
        expect((out / file).read_text(), "<svg", "pixels a side")
    expect((out / "report.html").read_text(), "All steps", "A positive test image", "not run")
    assert not list(out.glob("*.tmp-*")), list(out.iterdir())


def zoom_in_needle_bad_input(folder):
    shown = run("zoom_in_needle", "--help", code=0)
    expect(shown.stdout, "--sizes", "--out")
    for wrong in (["--no-such-option"], ["--sizes", "large"], ["--sizes", "-5"], ["--draws", "0"],
                  ["--memory", "nan"], ["--train", "-1"]):
        refused = run("zoom_in_needle", *wrong, "--out", folder / "out", code=2)
        expect(refused.stderr, wrong[0])
    for size in (100, 511, 65537):
        refused = run("zoom_in_needle", "--sizes", size, "--out", folder / "out", code=1)
        expect(refused.stderr, "zoom_in_needle: --sizes: ", f"{size} is no size, expected 512 to 65536")
    assert not (folder / "out").exists()
    (folder / "file").write_text("")
    refused = run("zoom_in_needle", "--sizes", 512, "--out", folder / "file", code=1)
    expect(refused.stderr, "zoom_in_needle: ", str(folder / "file"))
    refused = run("zoom_in_needle", "--sizes", 512, "--out", folder / "file" / "below", code=1)
    expect(refused.stderr, "zoom_in_needle: ", str(folder / "file"))


def on_the_emulated_card(folder):
    """The same program, built against the emulator, trains on both backends: the same predictions, but for rounding."""
    program, = programs
    said = {}
    for device in ("cpu", "cuda"):
        run(program, musk, "--device", device, "--folds", 2, "--repeats", 1, "--epochs", 1, "--out", folder / device,
            code=0)
        said[device] = rows_of(folder / device / "predictions.csv")
    assert len(said["cpu"]) == len(said["cuda"]) == 92
    for a, b in zip(said["cpu"], said["cuda"]):
        assert (a["fold"], a["bag"], a["label"]) == (b["fold"], b["bag"], b["label"]), (a, b)
        assert abs(float(a["probability_1"]) - float(b["probability_1"])) <= 1e-3, (a, b)


with tempfile.TemporaryDirectory() as name:
    globals()[sys.argv[1]](pathlib.Path(name))
print(f"{sys.argv[1]}: passed")
