"""The corpus: fetched from its commits, cut without loss, free of what students are scored on."""

import json
import subprocess
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import corpus
import pytest
from corpus import Source, build, held_out, is_held_out, kept, mix, read_sources, without
from corpus_markup import CHOICES, paragraphs_of
from corpus_text import cut, fault, normal, pieces, sentence_fault, sentences
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data.decontamination import GRAM, Overlaps
from miniluotuo_utils.files import DataError, file_sha256, read_jsonl
from miniluotuo_utils.text import folded

# The characters that decide where a text is cut, and some between them.
TEXTS = st.text(alphabet="骆驼会走a b。！？；…“”‘’（）《》，：\u3000", max_size=300)
PROSE = "沙漠里的骆驼在第{}天的清晨走过了一座很高的沙丘，然后停下来喝水。"
TESTED = {"甲/test": ["敦煌研究院在甘肃省敦煌市，离莫高窟不远。", "西湖在杭州。"]}


# ---- cutters


@given(TEXTS)
def test_sentences_put_together_are_the_paragraph(text):
    """A cutter that drops a quote, or the rest after the last full stop, loses text unseen."""
    for parts in (sentences(text), cut(text, nested=False), cut(text, nested=True)):
        assert "".join(parts) == text
        assert all(parts)


@given(TEXTS, st.integers(1, 60))
def test_pieces_are_whole_sentences_and_not_longer_than_asked(text, longest):
    """A piece that ends in the middle of a sentence teaches a student to stop there."""
    found = list(pieces(text, longest))
    assert "".join(found) == text
    for piece in found:
        assert len(piece) <= longest or len(sentences(piece)) == 1 or sentences(piece)[0] == piece


def test_a_quotation_stays_with_its_sentence():
    """Cut inside its quotes, a speech lost its speaker, and no rule could find him."""
    text = "“可不是么……”聪明人高兴似的回答他。她问：“在吗？”，没人应。（真的！）走吧！"
    assert sentences(text) == [
        "“可不是么……”",
        "聪明人高兴似的回答他。",
        "她问：“在吗？”，没人应。",
        "（真的！）走吧！",
    ]
    speech = f"他说：“{'骆驼会走。' * 20}”"
    assert max(map(len, sentences(speech))) <= 80


@given(st.text(max_size=200))
def test_one_spelling_stays_as_it_is(text):
    """Text that is at hand went through the filter once: a second time must change nothing."""
    once = normal(text)
    assert normal(once) == once


def test_only_traditional_text_is_converted():
    """A converter run over simplified novels made 干隆 of the emperor 乾隆."""
    assert normal("乾隆皇帝在北京的皇宫里住了很久很久。", "mixed").startswith("乾隆")
    assert normal("這個國家的學會說過話，沿著河走。", "mixed") == "这个国家的学会说过话，沿着河走。"
    assert normal("他著有《史記》，著名。", "traditional") == "他著有《史记》，著名。"


@given(st.lists(st.sampled_from([PROSE.format(n) for n in range(5)] + ["短", "a" * 50, "无" * 40])))
def test_nothing_is_lost_but_what_the_filter_names(paragraphs):
    """Counts that do not add up hide a filter that eats text."""
    left_out = Counter()
    found = list(kept(paragraphs, "simplified", set(), left_out))
    assert len(found) + sum(left_out.values()) == len(paragraphs)
    assert len(found) == len(set(found)) and not any(map(fault, found))
    assert set(left_out) <= {"short", "few Han", "no punctuation", "duplicate"}


def test_a_sentence_that_is_not_worth_annotating_says_why():
    """Half a quotation or a line of code costs the annotator's time and teaches wrong spans."""
    reasons = {
        "苏轼在黄州写下《赤壁赋》。": None,
        "走吧。": "short",
        "骆驼" * 41: "long",
        "，苏轼在黄州写下诗篇。": "begins in the middle",
        "他说：“苏轼在黄州写诗。": "unpaired",
        "在这里用变量 a_b 来表示它的值。": "signs",
        "see the README of this project 吧": "few Han",
    }
    assert {text: sentence_fault(text) for text in reasons} == reasons


# ---- what must not be in it


def test_planted_sentences_go_and_the_others_stay():
    """A corpus that holds the test sentences gives scores which nothing explains."""
    before, after = PROSE.format(1), PROSE.format(2)
    planted = [
        before + TESTED["甲/test"][0] + after,
        "听说研究院在甘肃省敦煌市，离莫高窟也不算近。" + after,  # one 13-gram of it
        "西湖在杭州！",  # too short for a 13-gram: found as a whole
        "有人说西湖在杭州，不在苏州。",
    ]
    gone = Counter()
    left = list(without(Overlaps(TESTED), planted, gone))
    # Cut in two where the sentence stood: together they would be a sentence that nobody wrote.
    assert [text for text in left if text] == [before, after, after, planted[3]]
    assert gone == {"甲/test": 3}


def test_a_sentence_that_reaches_over_a_full_stop_goes():
    """A test sentence that the corpus punctuates otherwise was in neither of its two sentences."""
    sets = {"甲/test": ["他们在清晨出发，骆驼走过沙丘"]}
    gone = Counter()
    assert list(without(Overlaps(sets), ["他们在清晨出发。骆驼走过沙丘！真好。"], gone)) == []
    assert gone == {"甲/test": 3}


@given(st.lists(st.text(alphabet="骆驼会走过沙漠", max_size=40), max_size=20))
def test_overlaps_are_those_that_a_plain_search_finds(texts):
    """Hashes and binary searches are quick and easy to get wrong."""
    sets = {"甲/test": texts[::2], "乙/test": ["骆驼会走过沙漠骆驼会走过沙漠", "骆驼", ""]}
    keys = [folded(text) for rows in sets.values() for text in rows]
    plain = {gram for key in keys for gram in grams_of(key)}
    short = {key for key in keys if 0 < len(key) < GRAM}
    for text, found in zip(texts, Overlaps(sets).found_in(texts), strict=True):
        assert bool(found) == (folded(text) in short or bool(plain & grams_of(folded(text))))
    assert Overlaps({}).found_in(["骆驼"]) == [None]


def grams_of(key: str) -> set[str]:
    """Return every run of 13 characters of a folded text."""
    return {key[i : i + GRAM] for i in range(len(key) - GRAM + 1)}


@pytest.mark.mirror
def test_the_real_corpus_shares_nothing_with_what_students_are_scored_on(mirror):
    """Financial news came with the development and test sentences of FewFC in it."""
    folder = mirror.parent / "corpus"
    if not folder.is_dir():
        pytest.skip("no corpus beside the mirror")
    sets, _ = corpus.guarded()
    assert {name.split("/")[0] for name in sets} >= set(corpus.ESSENTIAL)
    overlaps = Overlaps(sets)
    plain = {gram for rows in sets.values() for text in rows for gram in grams_of(folded(text))}
    some = next(source for source in read_sources() if source.name == "kdconv")
    for name, least in (("kdconv", 1), ("drcd", 1), ("fewfc_news", 990)):
        sample = list(corpus.from_folder(replace(some, name=name), folder))[:1000]
        gone = Counter()
        left = list(without(overlaps, sample, gone))
        assert sum(gone.values()) >= least
        assert not any(plain & grams_of(folded(text)) for text in left)


# ---- fetching

FILES = {
    "docs/a.md": f"# 题\n\n[{PROSE.format(1)[:9]}](b.md){PROSE.format(1)[9:]}\n\n```\nx = 1\n```\n",
    "docs/b.rst": f"题\n==\n{PROSE.format(2)[:14]}\n{PROSE.format(2)[14:]}\n\n.. code::\n\n   x",
    "docs/c.xml": f"<chapter><para>{PROSE.format(3)}</para><screen>ls</screen></chapter>",
    "docs/d.ipynb": json.dumps({"cells": [{"cell_type": "markdown", "source": [PROSE.format(4)]}]}),
    "docs/e.txt": f"　　{PROSE.format(5)}\n〔1〕注释。\n",
    "docs/图 片.bin": "not asked for",
}


def repository(folder: Path, files: dict[str, str | bytes]) -> str:
    """Make a repository with one commit, which may be fetched in part, and return the commit."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    return git("rev-parse", "HEAD")


def source_of(name: str, commit: str, paths: str = "^docs/", markup: str = "by suffix") -> Source:
    """Return a source of the mix's fiction."""
    return Source(
        *(name, "fiction", f"owner/{name}", commit, paths, markup, "simplified"),
        *("permissive", "MIT", "LICENSE", ""),
    )


@pytest.fixture
def documents(tmp_path) -> tuple[Source, str]:
    """A source with a file of each markup of documents, and the host that it is fetched from."""
    commit = repository(tmp_path / "host" / "owner" / "documents", FILES)
    paths = r"^docs/.*\.(md|rst|xml|ipynb|txt)$"
    return source_of("documents", commit, paths), (tmp_path / "host").as_uri()


def test_only_the_files_asked_for_are_fetched_at_their_commit(documents, tmp_path, monkeypatch):
    """A whole clone of a documentation is gigabytes of pictures and history."""
    source, host = documents
    report = build(tmp_path / "out", [source], TESTED, cache_folder=tmp_path / "cache", host=host)
    text = (tmp_path / "out" / "documents.txt").read_text(encoding="utf-8")
    assert text.splitlines() == [PROSE.format(n) for n in range(1, 6)]
    assert report["documents"]["sha256"] == file_sha256(tmp_path / "out" / "documents.txt")
    assert report["documents"]["characters"] == len(text) - 5
    assert report["documents"]["licence"] == "MIT"

    folder = tmp_path / "cache" / "owner+documents"
    assert len(corpus.absent(folder, source.commit)) == 1  # the picture

    # The second time nothing is fetched, so the host may be gone.
    again = build(
        tmp_path / "out2", [source], {}, cache_folder=tmp_path / "cache", host="file:///-"
    )
    assert again["documents"]["sha256"] == report["documents"]["sha256"]


def test_a_build_goes_on_and_makes_anew_what_has_changed(documents, tmp_path, capsys):
    """A killed build of ten minutes began again; one with another filter kept the old text."""
    source, host = documents
    out, arguments = tmp_path / "out", {"cache_folder": tmp_path / "cache", "host": host}
    build(out, [source], TESTED, **arguments)
    build(out, [source], TESTED, **arguments)
    assert "there already" in capsys.readouterr().out
    build(out, [source], {"甲/test": [PROSE.format(3)]}, **arguments)
    assert "there already" not in capsys.readouterr().out
    lines = (out / "documents.txt").read_text(encoding="utf-8").splitlines()
    assert PROSE.format(3) not in lines
    assert len(lines) < 5


def test_an_earlier_source_keeps_what_two_have(documents, tmp_path):
    """The same chapter in two repositories stood in the corpus twice, also after a stop."""
    source, host = documents
    arguments = {"cache_folder": tmp_path / "cache", "host": host}
    twin = replace(source, name="twin")
    build(tmp_path / "out", [source], TESTED, **arguments)
    report = build(tmp_path / "out", [source, twin], TESTED, **arguments)
    assert report["twin"]["characters"] == 0
    assert report["twin"]["left_out"]["duplicate"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commit": "0" * 40}, "owner\\+documents: git .*fetch"),
        ({"paths": "^nothing$"}, "documents.paths: found '\\^nothing\\$', expected to match files"),
        ({"paths": "bin$"}, "docs/图 片.bin: found the suffix '.bin', expected one of .md"),
        ({"markup": "squad", "paths": "md$"}, "docs/a.md: not in the format 'squad'"),
    ],
)
def test_a_source_that_cannot_be_read_says_where(documents, tmp_path, change, message):
    """After an hour of fetching: KeyError: 'data'."""
    source, host = documents
    wrong = replace(source, **change)
    with pytest.raises(DataError, match=message):
        build(tmp_path / "out", [wrong], {}, cache_folder=tmp_path / "cache", host=host)
    assert not list((tmp_path / "out").glob("*.txt"))


def test_every_markup_is_read(tmp_path):
    """One function a markup: each gives the same two paragraphs, whatever stands around them."""
    one, two = PROSE.format(1) * 4, PROSE.format(2) * 4
    archive = tmp_path / "a.json.zip"
    talk = [{"messages": [{"message": text}]} for text in (one, two)]
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.json", json.dumps(talk))
    passages = {"data": [{"paragraphs": [{"context": f"{one}\n{two}"}]}]}
    natives = {
        "law": f"# 法\n\n施行\n\n<!-- INFO END -->\n\n{one}\n\n{two}",
        "verses": f"Book,Chapter,Verse,Text\n创,1,1,{one}\n创,2,1,{two}",
        "dump": f'<doc id="1" url="" title="骆驼">\n骆驼\n\n{one}\n{two}\n</doc>\n',
        "json_articles": json.dumps({"text": f"骆驼\n{one}\n{two}"}),
        "squad": json.dumps(passages),
        "conllu": f"# text = {one}\n1\t骆驼\n\n# text = {two}\n",
    }
    for markup, native in natives.items():
        assert paragraphs_of("a", native.encode(), markup) == [one, two], markup
    spoken = paragraphs_of("a.json.zip", archive.read_bytes(), "dialogues")
    assert spoken == [f"甲：{one}", f"甲：{two}"]
    assert set(natives) | {"dialogues", "by suffix"} == set(CHOICES)


# ---- the list


def test_every_source_states_its_licence_and_a_commit():
    """A corpus whose text may not be passed on makes a student that may not either."""
    found = read_sources()
    assert {source.group for source in found} == set(corpus.MIX)
    assert sum(corpus.MIX.values()) == pytest.approx(1)
    assert "fewfc_news" not in [source.name for source in found]
    rows = [line.split("\t") for line in lines_of_table("corpus_books.tsv")[1:]]
    assert rows and all(int(died) <= 1945 for _, _, died in rows)


def lines_of_table(name: str) -> list[str]:
    """Return the lines of a table beside the script."""
    return (corpus.HERE / name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("commit", "main", "line 2: field commit: found 'main', expected a whole commit"),
        ("group", "songs", "line 2: field group: found 'songs', expected one of encyclopedia"),
        ("markup", "tex", "line 2: field markup: found 'tex', expected one of by suffix"),
        ("licence", "", "line 2: field licence: found '', expected what the source states"),
    ],
)
def test_a_wrong_line_of_the_list_is_named(tmp_path, column, value, message):
    """A branch for a commit, and the corpus is another one next month."""
    head, first = (line.split("\t") for line in lines_of_table("corpus_sources.tsv")[:2])
    first[head.index(column)] = value
    path = tmp_path / "list.tsv"
    path.write_text("\n".join("\t".join(line) for line in (head, first)), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_sources(path)


# ---- the mix


@pytest.fixture
def built(tmp_path, monkeypatch) -> Path:
    """A corpus of two sources of one group, the second larger than the first."""
    monkeypatch.setattr(corpus, "MIX", {"fiction": 1.0})
    have = tmp_path / "have"
    have.mkdir()
    for name, count in (("small", 100), ("large", 2_000)):
        lines = [name + PROSE.format(n) + PROSE.format(-n) for n in range(count)]
        (have / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    sources = [source_of(name, "0" * 40) for name in ("large", "small")]
    build(tmp_path / "out", sources, TESTED, have=have)
    return tmp_path / "out"


def test_a_mix_takes_equally_and_more_of_the_large_where_the_small_ends(built):
    """Drawn by size alone, the few passages with many names drowned in the novels."""
    rows, given = mix(built, 60_000, "sentence")
    assert 5_000 < given["small"] < 7_500  # all it has, less what is held out
    assert sum(given.values()) == pytest.approx(60_000, rel=0.02)
    assert Counter(row["source"] for row in rows[:200])["small"] > 5  # shuffled
    assert mix(built, 60_000, "sentence") == (rows, given)
    assert mix(built, 60_000, "sentence", seed=1)[0] != rows
    texts = [row["sentence"] for row in rows]
    assert len(set(texts)) == len(texts)


def test_a_group_that_is_short_says_so(built, capsys):
    """A mix that is a quarter smaller than asked trains a student for fewer steps, unseen."""
    mix(built, 10_000_000, "text")
    assert "fiction: 9," in capsys.readouterr().out


def test_what_is_held_out_is_in_no_mix(built):
    """Bits per character on text that was trained on look like a better student."""
    out = {row["text"] for row in held_out(built)}
    assert 5 < len(out) < 60
    rows = [row["text"] for row in mix(built, 10_000_000, "text")[0]]
    said = [row["sentence"] for row in mix(built, 10_000_000, "sentence")[0]]
    assert not out & set(rows)
    assert not {part for text in out for part in sentences(text)} & set(said)
    assert all(is_held_out(text) for text in out)


def test_the_commands_write_what_they_say(built, capsys):
    """`sentences` without a corpus ended in a KeyError."""
    corpus.main(["sentences", str(built), "--characters", "20000"])
    corpus.main(["paragraphs", str(built), "--characters", "20000"])
    corpus.main(["held-out", str(built)])
    rows = read_jsonl(built / "sentences.jsonl")
    about = json.loads((built / "sentences.json").read_text(encoding="utf-8"))
    assert about["rows"] == len(rows) and about["sha256"] == file_sha256(built / "sentences.jsonl")
    assert about["characters"] == sum(len(row["sentence"]) for row in rows)
    assert set(read_jsonl(built / "paragraphs.jsonl")[0]) == {"text", "source"}
    capsys.readouterr()
    corpus.main(["table", str(built)])
    assert "| small | fiction | [owner/small]" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"error: .*sources\.json.*run build first"):
        corpus.main(["sentences", str(built / "nowhere")])


def test_a_corpus_without_the_essential_sets_is_refused(monkeypatch):
    """Made without a network, the corpus would have held what students are scored on."""

    def absent(name: str, split: str, progress: bool):
        raise FileNotFoundError(f"{name}/{split} cannot be had")

    monkeypatch.setattr(corpus, "read", absent)
    with pytest.raises(FileNotFoundError, match="cluener/train"):
        corpus.guarded()
