"""Every section of a paper that a source cites, as in `docs/papers/zoommil.md 2.4, 2.6`, is a heading of that file.

What it does not see: whether the section says what the source says, and a citation that spells its file otherwise."""
from sources import *

papers = root / "docs" / "papers"
number = r"\d+(?:\.\d+)*"
citation = re.compile(rf"(docs/papers/)?(?<![\w])(\w+)\.md((?: {number}(?:(?:, | and | to ){number})*)?)")


def headings(paper):
    return set(re.findall(rf"^#+ ({number})[. ]", paper.read_text(), re.M))


def text_of(source):
    """The text with each comment on one line, so that a citation may go over the end of a line."""
    return re.sub(r"\s*\n\s*(?://[/!]?<?|#)?\s*", " ", source.read_text())


known = {paper.stem: headings(paper) for paper in papers.glob("*.md") if paper.stem != "README"}
files = sorted(p for folder in ("include", "tests", "examples", "benchmarks")
                 for p in (root / folder).rglob("*") if p.suffix in (".hpp", ".cuh", ".cpp", ".cu", ".py", ".txt"))
problems, count = [], 0
for source in files:
    place = source.relative_to(root)
    if source == pathlib.Path(__file__).resolve():
        continue
    for folder, paper, sections in citation.findall(text_of(source)):
        if folder and paper not in known:
            problems.append(f"{place}: there is no docs/papers/{paper}.md")
        elif not folder and paper in known:
            problems.append(f"{place}: {paper}.md is cited without its folder, expected docs/papers/{paper}.md")
        elif folder:
            count += 1
            problems += [f"{place}: docs/papers/{paper}.md has no section {section}"
                         for section in re.findall(number, sections) if section not in known[paper]]
if not count:
    problems.append("no source cites a paper, expected some")
finish(problems, "citations")
