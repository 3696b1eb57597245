"""No name outside namespace milkit, no macro without MILKIT_.

Reads the preprocessed text of all headers, and of that only the lines that come from milkit: at the outermost level there
may be `namespace milkit...` blocks and nothing else, so a declaration of any kind outside is seen, whatever macro wrote it.
What it does not see: `extern "C"` inside the namespace, and code under an #if that is off on this machine."""
from sources import *


def lines_of_milkit(text):
    ours = place = None
    for line in text.splitlines():
        marker = re.match(r'# (\d+) "([^"]*)"', line)
        if marker:
            number, place = int(marker[1]), marker[2]
            ours = place.startswith(str(include / "milkit"))
            continue
        if ours:
            yield f"{place[len(str(include)) + 1:]}:{number}", line
        if place:
            number += 1


def main():
    cxx = compiler_from(sys.argv[1:])
    usable = [h for h in headers() if not cxx.unavailable(outside(h))]
    result = cxx.run("".join(f"#include <{name_of(h)}>\n" for h in usable), "-E", "-dD")
    if result.returncode != 0:
        finish([result.stderr[:4000]], "names")

    problems, depth, statement = [], 0, ""
    for place, line in lines_of_milkit(result.stdout):
        macro = re.match(r"\s*#\s*(define|undef)\s+(\w+)", line)
        if macro:
            if not macro[2].startswith("MILKIT_"):
                problems.append(f"{place}: macro {macro[2]} does not begin with MILKIT_")
            continue
        if line.lstrip().startswith("#"):
            continue
        line = re.sub(r'"(\\.|[^"\\])*"|(?<![0-9a-fA-F])\'(\\.|[^\'\\])+\'', "0", line)
        for token in re.findall(r"[{};]|[^{};]+", line):
            if token == "{":
                if depth == 0 and not re.fullmatch(r"\s*(inline\s+)?namespace\s+milkit(::\w+)*\s*", statement):
                    problems.append(f"{place}: outside namespace milkit: {statement.strip()} {{")
                depth, statement = depth + 1, ""
            elif token == "}":
                depth, statement = depth - 1, ""
            elif token == ";":
                if depth == 0 and statement.strip():
                    problems.append(f"{place}: outside namespace milkit: {statement.strip()};")
                statement = ""
            elif depth == 0:
                statement += token + " "
    if depth != 0:
        problems.append(f"the braces of the headers do not match: {depth} left open")
    finish(problems, f"names of {len(usable)} headers")


main()
