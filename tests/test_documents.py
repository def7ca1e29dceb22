"""The documents: links, paths, commands and figures are true of the clone that they are in."""

import re
import shlex
from pathlib import Path

import pytest

from miniluotuo_utils.__main__ import COMMANDS, parser
from miniluotuo_utils.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 9_000  # bytes: what one reads before the first notebook
TWINS = (ROOT / "README.md", ROOT / "README_zh.md")
OTHERS = ("jobs", "data", "students", "embedded", "embedded/student")
DOCUMENTS = (
    *TWINS,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "notebooks" / "TEACHING.md",
    ROOT / "notebooks" / "TERMINOLOGY.md",
    ROOT / "scripts" / "README.md",
    *(ROOT / "miniluotuo_utils" / room / "README.md" for room in OTHERS),
)
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

FENCED = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
# [text](target) and <img src="target">
LINK = re.compile(r"\]\(([^)\s]+)\)|\bsrc=\"([^\"]+)\"")
# an absolute path of somebody's machine, on Linux, macOS or Windows
MACHINE = re.compile(r"(?<![\w./:>~])/(?:home|root|Users|tmp|work|mnt|opt)/\w|\b[A-Z]:\\")
# benchmarks/tagger.py, miniluotuo_utils/students/accelerate/ddp.yaml
OWN_PATH = re.compile(
    r"(?<![\w/.])(?:benchmarks|miniluotuo_utils|notebooks|scripts|tests)/[\w./-]+"
)
SHELL = "python -m miniluotuo_utils "


def name_of(path: Path) -> str:
    """Return a document's name as a test shows it."""
    return path.relative_to(ROOT).as_posix()


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def links(path: Path) -> list[str]:
    """Return what a document links to, outside its blocks of code."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return [target or source for target, source in LINK.findall(text)]


def code_lines(path: Path) -> list[str]:
    """Return the lines of the Python and shell blocks, and each `word` in the text."""
    text = path.read_text(encoding="utf-8")
    lines = [
        line for kind, body in FENCED.findall(text) if kind != "text" for line in body.split("\n")
    ]
    return lines + re.findall(r"`([^`\n]+)`", FENCED.sub("", text))


def test_every_document_is_looked_at():
    """A new README with a dead link that no test reads."""
    folders = [ROOT / name for name in ("benchmarks", "miniluotuo_utils", "notebooks", "scripts")]
    found = {*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))}
    assert found == set(DOCUMENTS)


@each_document
def test_relative_links_lead_somewhere(path):
    """Files that moved left links which GitHub answers with 404."""
    for link in links(path):
        if re.match(r"https?:|mailto:", link):
            continue
        place, _, anchor = link.partition("#")
        target = path.parent / place if place else path
        assert target.exists(), f"{name_of(path)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(path)}: {link}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *FORMS, ROOT / "CITATION.cff"], ids=name_of)
def test_no_document_names_a_folder_of_one_machine(path):
    """A path that was copied from a terminal works for one person."""
    found = MACHINE.search(path.read_text(encoding="utf-8"))
    assert not found, f"{name_of(path)}: {found[0]}"


@each_document
def test_files_that_the_text_names_are_there(path):
    """The data card named tests that had moved, and nobody could see what holds its claims.

    CONTRIBUTING names two files that its reader is about to write, so their folder will do.
    """
    for found in OWN_PATH.findall(path.read_text(encoding="utf-8")):
        place = ROOT / found.rstrip(".")
        to_be_written = path.name == "CONTRIBUTING.md" and place.suffix in (".json", ".jsonl")
        assert place.exists() or (to_be_written and place.parent.is_dir()), found


@each_document
def test_commands_of_the_shell_take_what_is_printed(path):
    """An option that was renamed stays in the text, and the first thing that one tries fails."""
    for line in code_lines(path):
        command = line.partition(SHELL)[2] or line.partition("-m miniluotuo_utils ")[2]
        if command and not command.endswith("--help"):
            assert parser().parse_args(shlex.split(command, comments=True)).command in COMMANDS


def test_every_command_is_explained():
    """A command that only `--help` knows is not found by those who read."""
    text = (ROOT / "miniluotuo_utils" / "jobs" / "README.md").read_text(encoding="utf-8")
    first = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    for command in COMMANDS:
        assert re.search(rf"`{command.__name__.lower()}\b", first), command.__name__


@each_document
def test_make_has_what_is_printed(path):
    """`make` with a target that is gone says only that there is no rule."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in code_lines(path):
        for target in re.findall(r"(?:^|> |&& )make (\w+)", line):
            assert target in targets, line


@each_document
def test_extras_are_those_of_the_package(path):
    """pip only warns about an extra that does not exist, and installs nothing for it."""
    for line in code_lines(path):
        if line.startswith(("pip install", "[")):
            named = re.findall(r"\[([a-z,]+)\]", line)
            names = {name for group in named for name in group.split(",")}
            assert names <= {*EXTRAS, "all"}, line


@each_document
def test_variables_are_read_somewhere(path):
    """A variable that the code no longer reads is set in vain, without a word."""
    sources = [ROOT / "Makefile", *(ROOT / "miniluotuo_utils").rglob("*.py")]
    code = "".join(source.read_text(encoding="utf-8") for source in sources)
    text = path.read_text(encoding="utf-8")
    for name in set(re.findall(r"\b(?:MINILUOTUO|TEACHER|TORCH)_[A-Z_]+\b", text)):
        assert name in code, name


# ---- one README in two languages


@pytest.mark.parametrize("path", TWINS, ids=name_of)
def test_the_first_page_stays_short(path):
    """A front page that takes ten minutes is not read."""
    size = len(path.read_bytes())
    assert size <= LONGEST, f"{name_of(path)} has {size:,} bytes"


def figures(path: Path) -> list[list[str]]:
    """Return the numbers of every row of a table, in order."""
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [re.findall(r"\d+(?:\.\d+)?", row) for row in rows]


def code(path: Path) -> list[tuple[str, list[str]]]:
    """Return the blocks of a document without their comments; of the map, the paths alone."""
    blocks = []
    for kind, body in FENCED.findall(path.read_text(encoding="utf-8")):
        cut = r"(?<=\S)  .*" if "notebooks/" in body else r"\s*# .*"
        lines = [re.sub(cut, "", line).strip() for line in body.splitlines()]
        blocks.append((kind, lines))
    return blocks


def test_both_languages_state_the_same_figures():
    """A number that was mended in one language only: which of the two is true?"""
    english, chinese = map(figures, TWINS)
    assert english == chinese


def test_both_languages_show_the_same_code():
    """An option that was added to one README works for half of the readers."""
    english, chinese = map(code, TWINS)
    assert english == chinese


def test_both_languages_have_the_same_sources():
    """A date, a commit or a link of one language that the other still has in its old form."""
    pattern = re.compile(r"\d{4}-\d\d-\d\d|\b[0-9a-f]{7}\b|@[A-Z]+@")
    english, chinese = (pattern.findall(path.read_text(encoding="utf-8")) for path in TWINS)
    assert english == chinese
    english, chinese = (sorted(links(path)) for path in TWINS)
    assert [link for link in english if link != TWINS[1].name] == [
        link for link in chinese if link != TWINS[0].name
    ]
