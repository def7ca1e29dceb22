"""Make the text that the embedded student is pretrained on, from openly licensed sources.

    python scripts/corpus.py build OUT              fetch, extract, filter: OUT/<source>.txt
    python scripts/corpus.py build OUT --have DIR   the same from DIR/<source>.txt or .txt.xz
    python scripts/corpus.py sentences OUT          a mix of sentences, to be annotated
    python scripts/corpus.py paragraphs OUT         the same mix as longer texts
    python scripts/corpus.py held-out OUT           paragraphs that are in neither
    python scripts/corpus.py table OUT              the sources, their licences and sizes

The sources stand in corpus_sources.tsv: repository, commit, which files, which markup, licence and
where it is stated. Only these files are fetched. What shares a 13-gram with a sentence of the data
sets that students are evaluated or fine-tuned on is taken out. A stopped build goes on with the
next source. In: that list. Out: text, a paragraph a line, and OUT/sources.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import get_args

import corpus_markup
import corpus_text
from corpus_markup import CHOICES, paragraphs_of
from corpus_text import Script, fault, normal, pieces, sentence_fault, sentences

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.decontamination import Overlaps, evaluation_sentences
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.files import (
    DataError,
    batches,
    expect,
    file_sha256,
    write_jsonl,
    written_whole,
)
from miniluotuo_utils.text import markdown

HERE = Path(__file__).parent
SOURCES = HERE / "corpus_sources.tsv"
HOST = "https://github.com"
# Shares of the characters of a mix: most to texts with many names, little to manuals.
MIX = {
    "encyclopedia": 0.48,
    "fiction": 0.28,
    "old novels": 0.07,
    "Union Version": 0.01,
    "laws": 0.06,
    "manuals": 0.07,
    "dialogue": 0.03,
}
TEXT = (20, 300)  # characters of a text row
HELD_OUT = "held_out.jsonl"  # texts that no mix has
# No corpus is made without these: the students' scores are measured on them.
ESSENTIAL = (
    *("cluener", "resume", "duie-sample", "fewfc", "finre"),
    *("embedded-ner", "embedded-re", "embedded-ee"),
)


# ---- sources


@dataclass(frozen=True)
class Source:
    """One repository at one commit, and what is taken from it: a line of the list.

    `paths` is a regular expression for the files, or `@table` for a table of paths. `licence` is
    what the source states, `licence_at` where.
    """

    name: str
    group: str
    repository: str
    commit: str
    paths: str
    markup: str
    script: Script
    klass: str
    licence: str
    licence_at: str
    note: str

    def takes(self, path: str) -> bool:
        """Return whether a file is one of the source's."""
        if self.paths.startswith("@"):
            return path in listed_paths(self.paths[1:])
        return bool(re.search(self.paths, path))


@cache
def listed_paths(table: str) -> frozenset[str]:
    """Return the paths that a table beside the list of sources names."""
    with open(HERE / table, encoding="utf-8", newline="") as file:
        return frozenset(row["path"] for row in csv.DictReader(file, delimiter="\t"))


def read_sources(path: Path = SOURCES) -> list[Source]:
    """Return the sources of a list; DataError that names the line of a malformed one."""
    found: list[Source] = []
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t"), 2):
            try:
                row["klass"] = row.pop("class")
                found.append(checked(Source(**row), [source.name for source in found]))
            except (DataError, TypeError, KeyError) as error:
                raise DataError(f"{path.name}, line {number}: {error}") from error
    return found


def checked(source: Source, before: Sequence[str]) -> Source:
    """Return a source, or raise DataError for the field that is wrong."""
    expect(source.name not in before, "name", source.name, "a name that no earlier line has")
    expect(re.fullmatch(r"\w+", source.name), "name", source.name, "letters, digits, _")
    expect(source.group in MIX, "group", source.group, f"one of {', '.join(MIX)}")
    expect(source.markup in CHOICES, "markup", source.markup, f"one of {', '.join(CHOICES)}")
    scripts = get_args(Script)
    expect(source.script in scripts, "script", source.script, f"one of {', '.join(scripts)}")
    pinned = re.fullmatch("[0-9a-f]{40}", source.commit or "")
    expect(pinned, "commit", source.commit, "a whole commit of 40 digits")
    expect(
        source.licence and source.licence_at, "licence", source.licence, "what the source states"
    )
    return source


# ---- files of a commit, by git


def git(folder: Path, *arguments: str, given: str = "") -> bytes:
    """Return what a git command prints; DataError with git's own last words where it fails."""
    command = ["git", "-C", str(folder), "-c", "core.quotepath=off", *arguments]
    # A repository that has gone is asked for with a password: better an error than a question.
    silent = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(command, input=given.encode(), capture_output=True, env=silent)
    except FileNotFoundError as error:
        raise DataError("git is not installed; install it, or build with --have DIR") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or "no message"
        raise DataError(f"{folder.name}: git {' '.join(arguments)} failed: {said}")
    return done.stdout


def has(folder: Path, commit: str) -> bool:
    """Return whether a repository is there and holds a commit."""
    if not folder.is_dir():
        return False
    try:
        return git(folder, "cat-file", "-t", commit).strip() == b"commit"
    except DataError:
        return False


def cached_repository(source: Source, cache_folder: Path, host: str) -> Path:
    """Return a bare repository that holds the source's commit, fetched without any file if new."""
    folder = cache_folder / source.repository.replace("/", "+")
    if has(folder, source.commit):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--bare")
    git(folder, "config", "remote.origin.url", f"{host}/{source.repository}")
    git(folder, "config", "remote.origin.promisor", "true")
    wanted = ("--depth=1", "--filter=blob:none", "--no-tags", "origin", source.commit)
    git(folder, "fetch", "--quiet", *wanted)
    return folder


def listing(folder: Path, source: Source) -> list[tuple[str, str]]:
    """Return (path, object) of the source's files, by path; DataError where there are none."""
    found = []
    for line in git(folder, "ls-tree", "-r", "-z", source.commit).decode().split("\0"):
        meta, _, path = line.partition("\t")
        if path and meta.split()[1] == "blob" and source.takes(path):
            found.append((path, meta.split()[2]))
    expect(found, f"{source.name}.paths", source.paths, f"to match files of {source.repository}")
    return sorted(found)


def fetch_missing(folder: Path, source: Source, objects: Sequence[str]) -> None:
    """Fetch at once those of a commit's files that the repository has not got yet.

    Left to itself, git would fetch them one by one.
    """
    missing = absent(folder, source.commit) & set(objects)
    if missing:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none")
        given = "\n".join(sorted(missing)) + "\n"
        git(
            *(folder, "-c", "fetch.negotiationAlgorithm=noop", "fetch", *options),
            *("--stdin", "origin"),
            given=given,
        )


def absent(folder: Path, commit: str) -> set[str]:
    """Return the objects of a commit that its repository has not got."""
    lines = git(folder, "rev-list", "--objects", "--missing=print", "--max-count=1", commit)
    return {line[1:] for line in lines.decode("utf-8", "replace").split("\n") if line[:1] == "?"}


def contents(folder: Path, files: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of files, a hundred at a time."""
    for some in batches(files, 100):
        out = git(folder, "cat-file", "--batch", given="\n".join(key for _, key in some) + "\n")
        at = 0
        for path, _ in some:
            head, _, _ = out[at : at + 200].partition(b"\n")
            expect(head.split()[1] == b"blob", path, head.decode(), "a file in the repository")
            start, size = at + len(head) + 1, int(head.split()[2])
            yield path, out[start : start + size]
            at = start + size + 1


def from_git(source: Source, cache_folder: Path, host: str) -> Iterator[str]:
    """Yield the paragraphs of a source as its markup leaves them."""
    folder = cached_repository(source, cache_folder, host)
    files = listing(folder, source)
    fetch_missing(folder, source, [key for _, key in files])
    for path, content in contents(folder, files):
        yield from paragraphs_of(path, content, source.markup)


def from_folder(source: Source, folder: Path) -> Iterator[str]:
    """Yield the paragraphs of a text that is at hand: DIR/<source>.txt, or packed as .txt.xz."""
    plain, packed = (folder / f"{source.name}{suffix}" for suffix in (".txt", ".txt.xz"))
    if not plain.is_file() and not packed.is_file():
        raise FileNotFoundError(
            f"{folder} has neither {plain.name} nor {packed.name}; "
            f"leave --have out to fetch {source.repository}"
        )
    content = plain.read_bytes() if plain.is_file() else lzma.decompress(packed.read_bytes())
    yield from content.decode("utf-8").splitlines()


# ---- sentences that must not be in it


def guarded(progress: bool = False) -> tuple[dict[str, list[str]], list[str]]:
    """Return the sentences to be taken out, by set, and the evaluation sets not to be had.

    Every evaluation split of a Chinese source, and all splits of `ESSENTIAL`: a student is
    fine-tuned on them, and what it gains there should not come from here. Raises FileNotFoundError
    where one of these cannot be had.
    """
    found, missing = evaluation_sentences(progress)
    sets = {name: rows for name, rows in found.items() if is_chinese(name)}
    for name in ESSENTIAL:
        for split in CATALOG[name].splits:
            rows = read(name, split, progress)
            sets.setdefault(f"{name}/{split}", [row["sentence"] for row in rows])
    return dict(sorted(sets.items())), [name for name in missing if is_chinese(name)]


def is_chinese(name: str) -> bool:
    """Return whether a set, `card/split`, is Chinese.

    13 letters of English are two words that any manual may have.
    """
    return CATALOG[name.split("/")[0]].language == "CN"


def without(overlaps: Overlaps, paragraphs: Sequence[str], gone: Counter) -> Iterator[str]:
    """Yield paragraphs without the sentences that overlap, cut in two where one stood.

    `gone` counts the sentences left out, by set. What stood on both sides of a sentence is not put
    together: that would make a new sentence, which nobody wrote.
    """
    # All sentences at once: one search for each took most of the time.
    cut = [sentences(paragraph) for paragraph in paragraphs]
    found = iter(overlaps.found_in([sentence for parts in cut for sentence in parts]))
    left: list[list[str]] = []
    for parts in cut:
        left.append([])
        for sentence in parts:
            name = next(found)
            if name is None:
                left[-1].append(sentence)
            else:
                gone[name] += 1
                left.append([])

    # A 13-gram can reach from one sentence into the next.
    whole = ["".join(parts) for parts in left]
    for parts, text, name in zip(left, whole, overlaps.found_in(whole), strict=True):
        if name is None:
            yield text
        else:
            gone[name] += len(parts)


# ---- building


def build(
    out: Path,
    sources: Sequence[Source],
    sets: Mapping[str, Sequence[str]],
    have: Path | None = None,
    cache_folder: Path | None = None,
    host: str = HOST,
) -> dict[str, dict]:
    """Write OUT/<source>.txt for each source, and OUT/sources.json; return what that says.

    A source whose text was made from the same line of the list, the same code and the same
    sentences to leave out is not made again. An earlier source keeps a paragraph that two have.
    """
    out.mkdir(parents=True, exist_ok=True)
    cache_folder = cache_folder or out / "cache"
    overlaps, report, seen = Overlaps(sets), read_report(out), set()
    for source in sources:
        # What an earlier run wrote counts as seen, too.
        made_by = fingerprint(source, sets, have)
        text = out / f"{source.name}.txt"
        if report.get(source.name, {}).get("made_by") == made_by and text.is_file():
            seen |= set(map(key_of, lines_of(text)))
            print(f"{source.name}: there already")
            continue

        # The report is written after each source: it is what a later run trusts.
        found = from_folder(source, have) if have else from_git(source, cache_folder, host)
        counts = write_text(text, found, source.script, overlaps, seen)
        report[source.name] = {**asdict(source), **counts, "made_by": made_by}
        write_report(out, report)
        print(summary(source.name, counts), flush=True)
    return report


def fingerprint(source: Source, sets: Mapping[str, Sequence[str]], have: Path | None) -> str:
    """Return a hash of all that decides a source's text."""
    digest = sha256(json.dumps([asdict(source), sets, have is None]).encode())
    for module in (corpus_markup.__file__, corpus_text.__file__):
        digest.update(Path(module).read_bytes())
    if source.paths.startswith("@"):
        digest.update((HERE / source.paths[1:]).read_bytes())
    return digest.hexdigest()


def write_text(
    path: Path, found: Iterable[str], script: Script, overlaps: Overlaps, seen: set[bytes]
) -> dict:
    """Write the paragraphs worth keeping, one a line; return counts and the hash of the file."""
    left_out, gone = Counter(), Counter()
    lines = characters = 0
    with written_whole(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        for batch in batches(kept(found, script, seen, left_out), 2_000):
            for text in without(overlaps, batch, gone):
                # What a removed sentence leaves over may be too short.
                why = fault(text)
                left_out.update([why] if why else [])
                if not why:
                    file.write(text + "\n")
                    lines, characters = lines + 1, characters + len(text)
    return {
        "paragraphs": lines,
        "characters": characters,
        "sha256": file_sha256(path),
        "left_out": dict(sorted(left_out.items())),
        "overlapping_sentences": dict(sorted(gone.items())),
    }


def kept(
    found: Iterable[str], script: Script, seen: set[bytes], left_out: Counter
) -> Iterator[str]:
    """Yield paragraphs in one spelling that are worth keeping and new; count why others are not."""
    for paragraph in found:
        for text in pieces(normal(paragraph, script)):
            key = key_of(text)
            why = fault(text) or ("duplicate" if key in seen else None)
            if why:
                left_out[why] += 1
            else:
                seen.add(key)
                yield text


def key_of(text: str) -> bytes:
    """Return what stands for a text among those seen: 8 bytes."""
    return blake2b(text.encode(), digest_size=8).digest()


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text."""
    return path.read_text(encoding="utf-8").splitlines()


def summary(name: str, counts: Mapping) -> str:
    """Return one line about a source that was made."""
    gone = sum(counts["overlapping_sentences"].values())
    return (
        f"{name}: {counts['characters']:,} characters in {counts['paragraphs']:,} paragraphs; "
        f"{gone:,} sentences overlap with a data set, {sum(counts['left_out'].values()):,} "
        "paragraphs are left out for other reasons"
    )


def read_report(out: Path) -> dict[str, dict]:
    """Return what OUT/sources.json says, nothing where there is none."""
    path = out / "sources.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_report(out: Path, report: Mapping) -> None:
    """Write OUT/sources.json."""
    with written_whole(out / "sources.json") as partial:
        text = json.dumps(report, ensure_ascii=False, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")


# ---- the mix


def is_held_out(paragraph: str) -> bool:
    """Return whether a paragraph is kept out of every mix: one in a hundred, by its own bytes."""
    return int.from_bytes(key_of(paragraph)) % 100 == 0


def mix(out: Path, characters: int, kind: str, seed: int = 42) -> tuple[list[dict], dict[str, int]]:
    """Return rows of the mix in random order, and the characters that each source gives.

    `kind` is "sentence" or "text". Within a group the sources give equally; one that has less gives
    all it has, and the others more. A group that has less than its share makes the mix smaller.
    """
    report = read_report(out)
    expect(report, "sources.json", "nothing", f"a corpus in {out}: run build first")
    # A sentence that is held out may stand in another paragraph, too.
    kept_out = (sentences(row["text"]) for row in held_out(out))
    seen = {key_of(sentence) for parts in kept_out for sentence in parts}
    # The smallest source first: what it cannot give is shared out among the larger ones.
    rows, given = [], {}
    for group, share in MIX.items():
        names = [name for name, counts in report.items() if counts["group"] == group]
        names.sort(key=lambda name: (report[name]["characters"], name))
        left = round(characters * share)
        for number, name in enumerate(names):
            texts = drawn(out / f"{name}.txt", kind, left // (len(names) - number), seen, seed)
            rows += [{kind: text, "source": name} for text in texts]
            given[name] = sum(map(len, texts))
            left -= given[name]
        if left > 0.01 * characters * share:
            print(f"{group}: {left:,} characters short of its share of {share:.0%}", flush=True)
    random.Random(seed).shuffle(rows)
    return rows, given


def drawn(path: Path, kind: str, characters: int, seen: set[bytes], seed: int) -> list[str]:
    """Return new sentences, or texts, of one source in random order, up to so many characters."""
    paragraphs = [line for line in lines_of(path) if not is_held_out(line)]
    random.Random(f"{seed} {path.stem}").shuffle(paragraphs)
    chosen, size = [], 0
    for text in rows_in(paragraphs, kind):
        if size >= characters:
            break
        key = key_of(text)
        if key not in seen:
            seen.add(key)
            chosen.append(text)
            size += len(text)
    return chosen


def rows_in(paragraphs: Iterable[str], kind: str) -> Iterator[str]:
    """Yield the sentences worth annotating, or the texts of 20 to 300 characters."""
    for paragraph in paragraphs:
        if kind == "sentence":
            stripped = map(str.strip, sentences(paragraph))
            yield from (text for text in stripped if not sentence_fault(text))
        else:
            yield from (text for text in pieces(paragraph, TEXT[1]) if fits(text))


def fits(text: str) -> bool:
    """Return whether a text has the length of a text row."""
    return TEXT[0] <= len(text) <= TEXT[1]


def held_out(out: Path) -> list[dict]:
    """Return the texts of the paragraphs that no mix has."""
    found = []
    for name in read_report(out):
        lines = [line for line in lines_of(out / f"{name}.txt") if is_held_out(line)]
        found += [{"text": text, "source": name} for text in rows_in(lines, "text")]
    return found


def table(out: Path) -> str:
    """Return the sources as Markdown: licence, size, and the share of the last mix of sentences."""
    path = out / "sentences.json"
    given = json.loads(path.read_text(encoding="utf-8"))["sources"] if path.is_file() else {}
    whole = sum(given.values()) or 1
    report, lines = read_report(out), []
    for name in sorted(report, key=lambda name: list(MIX).index(report[name]["group"])):
        counts = report[name]
        size, share = f"{counts['characters']:,}", f"{given.get(name, 0) / whole:.1%}"
        link = f"[{counts['repository']}](https://github.com/{counts['repository']})"
        gone = f"{sum(counts['overlapping_sentences'].values()):,}"
        lines.append([name, counts["group"], link, counts["licence"], size, gone, share])
    head = ["source", "group", "repository", "licence", "characters", "taken out", "share"]
    return markdown(head, lines)


# ---- commands


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    asked = parser().parse_args(argv)
    try:
        COMMANDS[asked.command](asked)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    # Every command works on one folder.
    about = __doc__.partition("\n")[0]
    top = argparse.ArgumentParser(prog="python scripts/corpus.py", description=about)
    commands = top.add_subparsers(required=True, dest="command")
    added = {name: commands.add_parser(name) for name in COMMANDS}
    for one in added.values():
        one.add_argument("out", type=Path, help="the folder of the corpus")

    # What decides the text, and what decides a mix of it.
    building = added["build"].add_argument
    building("--have", type=Path, help="take texts that are at hand from here")
    building("--cache", type=Path, help="for the repositories; else OUT/cache")
    building("--only", nargs="+", metavar="NAME", help="these sources alone")
    building("--host", default=HOST, help=f"instead of {HOST}")
    for name in ("sentences", "paragraphs"):
        added[name].add_argument("--characters", type=int, default=25_000_000)
        added[name].add_argument("--seed", type=int, default=42)
    return top


def run_build(asked: argparse.Namespace) -> None:
    """Build, and say which evaluation sets could not be guarded."""
    sources = read_sources()
    names = [source.name for source in sources]
    unknown = sorted(set(asked.only or ()) - set(names))
    expect(not unknown, "--only", unknown, f"names of {', '.join(names)}")
    sets, missing = guarded()
    print(f"{sum(map(len, sets.values())):,} sentences of {len(sets)} sets are to be left out")
    print(f"not at hand, so not left out: {', '.join(missing) or 'none'}")
    chosen = [source for source in sources if not asked.only or source.name in asked.only]
    build(asked.out, chosen, sets, asked.have, asked.cache, asked.host)


def run_mix(asked: argparse.Namespace) -> None:
    """Write OUT/sentences.jsonl or OUT/paragraphs.jsonl, and beside it what it was made of."""
    kind = "sentence" if asked.command == "sentences" else "text"
    rows, given = mix(asked.out, asked.characters, kind, asked.seed)
    path = asked.out / f"{asked.command}.jsonl"
    write_jsonl(path, rows, overwrite=True)
    about = {"rows": len(rows), "characters": sum(given.values()), "seed": asked.seed}
    with written_whole(path.with_suffix(".json")) as partial:
        value = {**about, "sha256": file_sha256(path), "sources": given}
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(rows):,} rows, {about['characters']:,} characters")


def run_held_out(asked: argparse.Namespace) -> None:
    """Write OUT/held_out.jsonl."""
    rows = held_out(asked.out)
    write_jsonl(asked.out / HELD_OUT, rows, overwrite=True)
    print(f"{HELD_OUT}: {len(rows):,} rows, {sum(len(r['text']) for r in rows):,} characters")


COMMANDS = {
    "build": run_build,
    "sentences": run_mix,
    "paragraphs": run_mix,
    "held-out": run_held_out,
    "table": lambda asked: print(table(asked.out)),
}

if __name__ == "__main__":
    main()
