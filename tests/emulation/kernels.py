"""`kernels.py OPS FOLDER` lets the emulated card's ops be compiled once for all tests, as milkit::compiled does those of the CPU: it
reads the lines `MILKIT_COMPILED_OP` of OPS (include/milkit/ops) and writes FOLDER/kernels.hpp, which declares the same for cuda, and a
source a family that defines them."""
import pathlib
import re
import sys

spaces = [(r"(vector|matrix|image)_view<([^<>]*)>", r"\1_view<\2, device_space>"), (r"\bselection<T>", "selection<T, device_space>"),
          (r"\b(bag_chunk|children)<>", r"\1<device_space>"), (r"\bhost_space\b", "device_space")]


def lines_of(text):
    """Each op with its types on the card, as a declaration of all its instances."""
    for number, (once, impl, types) in enumerate(re.findall(r"MILKIT_COMPILED_OP(_ONCE)?\((\w+),\s*(.*?)\);", text, re.S)):
        types = " ".join(types.split())
        for pattern, on_card in spaces:
            types = re.sub(pattern, on_card, types)
        if once:
            yield "", [f"struct execution<{impl}, cuda, types<{types}>>;"]
        else:
            name = f"{impl}_on_card_{number}"
            yield f"template <class T>\nusing {name} = types<{types}>;\n", [f"struct execution<{impl}, cuda, {name}<{t}>>;" for t in ("float", "double")]


def in_namespace(text):
    return f"namespace milkit::ops::detail {{\n{text}}}\n"


def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    ops, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    includes, declarations = [], ""
    for family in sorted(p for p in ops.iterdir() if p.is_dir()):
        definitions = ""
        for file in sorted(family.glob("*_cpu.hpp")):
            stem = f"milkit/ops/{family.name}/{file.name.removesuffix('_cpu.hpp')}"
            if not (ops.parents[1] / f"{stem}_cuda.cuh").exists():
                continue
            includes.append(f"#include <{stem}_cuda.cuh>\n")
            for alias, instances in lines_of(file.read_text()):
                declarations += alias + "".join(f"extern template {each}\n" for each in instances)
                definitions += "".join(f"template {each}\n" for each in instances)
        write(folder / f"{family.name}.cpp", "#include <kernels.hpp>\n" + in_namespace(definitions))
    write(folder / "kernels.hpp", "#pragma once\n" + "".join(includes) + in_namespace(declarations))


main()
