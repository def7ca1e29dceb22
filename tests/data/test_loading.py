"""Data: cards, downloads that are checked and go on where they broke off, pins, and the embedded
sets."""

import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from pin import at_commit, pin_card
from readme_blocks import blocks
from tqdm import tqdm

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data import CATALOG, clean, from_previous, load
from miniluotuo_utils.data.catalog import ORDER, STATES, TERMS, chosen, read_catalog
from miniluotuo_utils.data.download import (
    copy_into_mirror,
    download,
    fetch_all,
    home,
    members,
    mirrored,
    unpack,
    verify,
)
from miniluotuo_utils.data.loading import ANY, read, renamed, say_missing
from miniluotuo_utils.data.readers import READERS, Reader, ner, read_file
from miniluotuo_utils.files import DataError, file_sha256, read_jsonl
from miniluotuo_utils.records import TASKS, check_record, check_row
from miniluotuo_utils.runtime import EMBEDDED, repository, setup
from notebooks import catalog_text


def fetch(pin, **options):
    """The file of one pin, without a progress bar."""
    return fetch_all([pin], progress=False, **options)[0]


MADE = {
    "human",
    "self-instruct",
    "mixed",
    "collection",
    "human, collection",
    "translated",
    "distant supervision",
    "not looked up",
    "a language model, for this project",
    "learned from English web text",
    "compiled by its authors",
}


def test_every_card_is_complete_and_nothing_is_half_pinned():
    """A pin with a hash but no size, or a licence left blank, once looked verified."""
    for card in CATALOG.values():
        assert card.title, card.name
        assert card.licence, card.name
        assert card.domain, card.name
        assert card.homepage.startswith("http"), card.name
        assert card.terms in TERMS, card.name
        assert card.made in MADE, card.name
        assert card.language in ("CN", "EN", "ML"), card.name
        assert set(card.tasks) <= set(ORDER), card.name
        assert set(card.records) == {"stated", "verified"}, card.name
        assert card.state in STATES, card.name
        assert card.reader in (None, ANY) or card.reader in READERS
        assert card.pins or card.obtain, f"{card.name} neither loads nor says how to get it"
        assert card.state != "manual" or card.obtain, card.name
        for pin in card.pins:
            assert bool(pin["bytes"]) == bool(pin["sha256"]), pin
            assert not pin["sha256"] or len(pin["sha256"]) == 64, pin
            assert pin["url"].split(":")[0] in ("https", "package", "manual", "npm")
        assert card.records["verified"] is None or card.state in ("verified", "embedded"), (
            f"{card.name}: who counted files that nobody read?"
        )


def test_the_collections_are_whole():
    """The five sources of Mini-Luotuo and the 46 sets of Viscacha; the licence groups follow what
    the licence says."""
    assert sorted(c.name for c in CATALOG.values() if "mini-luotuo" in c.collections) == [
        "alpaca-gpt4-zh",
        "baike2018qa",
        "coig",
        "luotuo-all",
        "webtext2019zh",
    ]
    assert sum("viscacha" in c.collections for c in CATALOG.values()) == 46
    for card in CATALOG.values():
        silent = card.licence.startswith("none stated")
        assert silent or ("NC" in card.licence) <= (
            card.terms in ("non-commercial", "contradictory")
        ), card.name
        assert not silent or card.terms in ("none stated", "restricted"), card.name
        assert ("not looked up" in card.licence) == (card.terms == "not looked up"), card.name


@pytest.mark.parametrize(
    "asked",
    [
        {"task": "NER", "language": "CN", "made": "HG", "collection": "viscacha"},
        {"made": "SI"},
        {"collection": "viscacha"},
        {"task": "topics", "language": "EN"},
    ],
)
def test_the_catalog_shows_what_was_asked_for(asked, capsys):
    """The collections stood in the cards and nobody could ask for one."""
    flags = [word for name, value in asked.items() for word in (f"--{name}", value)]
    status = main(["catalog", *flags])
    printed = capsys.readouterr().out
    shown = [line.split("|")[1].strip() for line in printed.splitlines()[2:]]
    wanted = [
        card.name
        for card in CATALOG.values()
        if all(
            {
                "task": value in card.tasks,
                "language": card.language in (value, "ML"),
                "made": card.tag == value,
                "collection": value in card.collections,
            }[name]
            for name, value in asked.items()
        )
    ]
    assert sorted(shown) == sorted(wanted)
    assert status == (0 if wanted else 1)
    with pytest.raises(ValueError, match="collection is 'viscacho'; expected one of"):
        chosen(collection="viscacho")


README = repository() / "miniluotuo_utils" / "data" / "README.md"


def test_the_readme_holds_the_catalog_as_it_is():
    """A table copied by hand is wrong after the next card: `scripts/notebooks.py tables` writes
    it."""
    text = README.read_text(encoding="utf-8")
    assert catalog_text() in text, "run `python scripts/notebooks.py tables`"


def test_the_readme_prints_what_it_says(capsys):
    """A block whose output was typed by hand promises rows that nobody gets."""
    for block in blocks(README):
        exec(block.code, {})
        assert capsys.readouterr().out == block.output


def test_a_source_without_files_says_where_to_get_it():
    """A KeyError once stood where an address should."""
    with pytest.raises(DataError, match="tacred: .*only this description.*https://github.com"):
        load("tacred")
    with pytest.raises(
        ValueError, match="no data set 'cluner' in the catalog; the nearest of .* are cluener"
    ):
        load("cluner")
    with pytest.raises(ValueError, match="embedded-ner has no split 'dev'; it has: train, test"):
        load("embedded-ner", split="dev")
    with pytest.raises(ValueError, match="errors is 'ignore'"):
        load("embedded-ner", errors="ignore")


def test_a_source_that_a_person_fetches_is_read_where_they_put_it(tmp_path, monkeypatch):
    """baike2018qa has no address; once its file is in manual/, it loads like any other."""
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path))
    monkeypatch.setenv("MINILUOTUO_MIRROR", "")
    with pytest.raises(
        FileNotFoundError, match=r"baike2018qa: .*manual/baike2018qa/baike_qa_train.json.*manual"
    ):
        load("baike2018qa", split="train")
    path = tmp_path / "manual" / "baike2018qa" / "baike_qa_train.json"
    path.parent.mkdir(parents=True)
    shutil.copy(EMBEDDED / "native" / "baike.jsonl", path)
    assert len(load("baike2018qa", split="train")) >= 2


def test_the_example_of_contributing_works_as_it_stands(tmp_path):
    """An example that nobody runs is wrong after the first change of a name."""
    text = (repository() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    native, card, code = (
        re.search(rf"```{kind}\n(.*?)```", text, re.S)[1] for kind in ("jsonl", "json", "python")
    )
    (tmp_path / "tea-ner.json").write_text(card, encoding="utf-8")
    (tmp_path / "train.jsonl").write_text(native, encoding="utf-8")
    tea = read_catalog(tmp_path)["tea-ner"]
    assert list(json.loads(card)) == list(asdict(CATALOG["resume"]))
    assert tea.terms in TERMS
    assert tea.made in MADE
    assert tea.state == "unverified"
    names = {**vars(ner), "Iterator": Iterator}
    exec(code, names)
    records = list(
        read_file(
            tmp_path / "train.jsonl",
            Reader(names[tea.reader], check=check_record),
            tea.name,
        )
    )
    assert [e["type"] for r in records for e in renamed(r, tea.type_names)["entities"]] == [
        "茶叶",
        "时间",
        "茶叶",
        "产地",
    ]
    assert f'"{tea.reader}": records(ner.{tea.reader})' in text


@pytest.fixture
def served(httpserver, tmp_path, monkeypatch):
    """A small mirror over HTTP, an empty cache, and the pin of one file on it; the network is
    allowed."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    body = '{"text": "骆驼"}\n'.encode()
    httpserver.expect_request("/host.example/data/a.json").respond_with_data(body)
    monkeypatch.setenv("MINILUOTUO_MIRROR", httpserver.url_for("/").rstrip("/"))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    (tmp_path / "b").write_bytes(body)
    return {
        "url": "https://host.example/data/a.json",
        "bytes": len(body),
        "sha256": file_sha256(tmp_path / "b"),
    }


def test_a_file_comes_from_the_mirror_and_then_from_the_cache(served, httpserver):
    """A second load must not download again."""
    path = fetch(served)
    assert path == fetch(served)
    assert len(httpserver.log) == 1
    path.write_text("damaged")
    assert fetch(served).stat().st_size == served["bytes"]
    assert len(httpserver.log) == 2


@pytest.mark.parametrize("wrong", [{"bytes": 3}, {"sha256": "0" * 64}])
def test_a_damaged_download_is_refused_and_not_kept(served, wrong, tmp_path):
    """A truncated file in the cache was once trusted for ever."""
    with pytest.raises(DataError, match=r"a\.json\S*: found .*expected .*damaged or changed"):
        fetch({**served, **wrong})
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_file_that_is_nowhere_lists_where_it_was_looked_for(tmp_path, monkeypatch):
    """A stack trace of urllib3 said nothing about the mirror."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    pins = [
        {"url": f"https://127.0.0.1:9/x/{n}.json", "bytes": 1, "sha256": "0" * 64} for n in "yz"
    ]
    with pytest.raises(
        FileNotFoundError,
        match=r"2 of 2 files could not be had: y\.json \(not in the mirror folder; "
        r"127.0.0.1:9: \w+\); z\.json .*smoke",
    ):
        fetch_all(pins, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError,
        match=r"y\.json \(not in the mirror folder\); z\.json "
        r".*offline.*download NAME --mirror DIR",
    ):
        fetch_all(pins, progress=False)


def test_a_damaged_file_in_a_mirror_folder_is_named(tmp_path, monkeypatch):
    """A class mirror copied from a full stick."""
    pin = CATALOG["resume"].splits["dev"][0]
    target = tmp_path / mirrored(pin["url"])
    target.parent.mkdir(parents=True)
    target.write_text("半个文件")
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match=r"dev\.char\.bmes: found 12 bytes, expected 120,251"):
        fetch(pin)
    assert verify(target, {"bytes": None, "sha256": None}) == target


@pytest.fixture
def ranged(httpserver, tmp_path, monkeypatch):
    """A server of one file of 300,000 bytes that honours Range and breaks the first answer off in
    the middle; and the file's pin."""
    from werkzeug import Response

    body = bytes(i * 7 % 251 for i in range(300_000))
    asked = []

    def answer(request):
        asked.append(request.headers.get("Range"))
        if not asked[-1]:
            return Response(
                iter([body[:100_000]]),
                headers={"Content-Length": str(len(body))},
                direct_passthrough=True,
            )
        start = int(asked[-1].removeprefix("bytes=").rstrip("-"))
        return Response(
            body[start:], 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        )

    httpserver.expect_request("/big.bin").respond_with_handler(answer)
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    (tmp_path / "body").write_bytes(body)
    return (
        httpserver.url_for("/big.bin"),
        {
            "url": "https://host.example/big.bin",
            "bytes": len(body),
            "sha256": file_sha256(tmp_path / "body"),
        },
        asked,
    )


def test_a_broken_download_goes_on_where_it_broke_off(ranged):
    """On a slow line a file of a gigabyte never arrived, because each try began at its first
    byte."""
    address, pin, asked = ranged
    path = download(address, home() / "big.bin", pin, tqdm(disable=True))
    assert verify(path, pin) == path
    assert asked[0] is None
    assert asked[1] == "bytes=65536-"
    assert not path.with_name("big.bin.part").exists()


def test_a_part_of_an_earlier_session_is_gone_on_with_only_if_the_pin_can_prove_it(ranged):
    """A killed session's part saves its bytes; without a checksum two versions of a file could be
    glued together."""
    address, pin, asked = ranged
    part = home() / "big.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(i * 7 % 251 for i in range(250_000)))
    download(address, home() / "big.bin", pin, tqdm(disable=True))
    assert asked == ["bytes=250000-"]
    part.write_bytes(b"of another file")
    download(
        address,
        home() / "other.bin",
        {**pin, "sha256": None, "bytes": None},
        tqdm(disable=True),
    )
    (home() / "other.bin").unlink()
    (home() / "other.bin.part").write_bytes(b"x" * 10)
    with pytest.raises(DataError, match="found sha256"):
        download(address, home() / "other.bin", {**pin, "bytes": None}, tqdm(disable=True))
    assert not (home() / "other.bin.part").exists(), (
        "a part that proved wrong must not be gone on with"
    )


def test_the_hub_is_asked_where_hf_endpoint_says(httpserver, tmp_path, monkeypatch):
    """huggingface.co cannot be reached from mainland China; HF_ENDPOINT names a mirror of it."""
    httpserver.expect_request("/datasets/a/b/resolve/main/x.json").respond_with_data(b"[]")
    for name, value in (
        ("HF_ENDPOINT", httpserver.url_for("/")),
        ("MINILUOTUO_HOME", str(tmp_path)),
        ("MINILUOTUO_MIRROR", ""),
        ("HF_HUB_OFFLINE", "0"),
    ):
        monkeypatch.setenv(name, value)
    path = fetch(
        {
            "url": "https://huggingface.co/datasets/a/b/resolve/main/x.json",
            "bytes": None,
            "sha256": None,
        }
    )
    assert path.read_bytes() == b"[]"
    assert path.is_relative_to(tmp_path / "huggingface.co")


def archive(path, members):
    """A tar.gz or zip of name → text."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, text in members.items():
                file.writestr(name, text)
    else:
        with tarfile.open(path, "w:gz") as file:
            for name, text in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                file.addfile(info, io.BytesIO(text.encode()))
    return {
        "url": f"https://host.example/{path.name}",
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_archives_are_unpacked_inside_their_folder_or_not_at_all(ending, tmp_path, monkeypatch):
    """A member named ../../.bashrc overwrites a user's file."""
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "host.example").mkdir(parents=True)
    pin = archive(
        tmp_path / "mirror" / "host.example" / f"good.{ending}",
        {"b/2.json": "{}", "a/1.json": "{}", "notes.md": "x"},
    )
    assert (
        [p.name for p in members(fetch(pin))]
        == ["1.json", "2.json"]
        == [p.name for p in members(fetch(pin))]
    )
    for number, bad in enumerate(("../../evil.json", "/evil.json", "a/../../evil.json")):
        pin = archive(
            tmp_path / "mirror" / "host.example" / f"bad{number}.{ending}",
            {"ok.json": "{}", bad: "{}"},
        )
        with pytest.raises(
            DataError, match=r"bad\d\.\S+: the member '\S+evil.json' leads out of its folder"
        ):
            members(fetch(pin))
    assert not list(tmp_path.rglob("evil.json"))
    assert not list((tmp_path / "cache").rglob("ok.json"))
    broken = tmp_path / "mirror" / "host.example" / f"half.{ending}"
    broken.write_bytes((tmp_path / "mirror" / "host.example" / f"good.{ending}").read_bytes()[:60])
    with pytest.raises(DataError, match="half.*not a whole archive"):
        members(
            fetch({"url": f"https://host.example/half.{ending}", "bytes": None, "sha256": None})
        )


def test_archives_are_unpacked_by_the_first_python_of_3_11(tmp_path, monkeypatch):
    """Debian 12 has Python 3.11.2, which knows no filters: no .tar.gz could be read there."""
    plain = tarfile.TarFile.extractall

    def extractall(self, path=".", members=None, *, numeric_owner=False):
        return plain(self, path, members, numeric_owner=numeric_owner)

    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    archive(tmp_path / "good.tar.gz", {"b/2.json": "{}", "a/1.json": "{}"})
    assert [p.name for p in members(tmp_path / "good.tar.gz")] == ["1.json", "2.json"]


def test_a_damaged_archive_is_never_half_unpacked(tmp_path):
    """tarfile takes a damaged header for the end: 10 of 50 members came out, and no error; a bad
    zlib stream was a raw traceback."""
    whole = tmp_path / "w.tar"
    with tarfile.open(whole, "w") as file:
        for number in range(50):
            info = tarfile.TarInfo(f"{number}.json")
            info.size = 2
            file.addfile(info, io.BytesIO(b"{}"))
    data = whole.read_bytes()
    packed = gzip.compress(data)
    encrypted = tmp_path / "e.zip"
    archive(encrypted, {"a.json": "{}"})
    encrypted.write_bytes(
        encrypted.read_bytes()
        .replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
        .replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    )
    bad = {
        "cut.tar": data[: 10 * 1024],
        "header.tar": data[: 10 * 1024] + b"\x01" * 512 + data[10 * 1024 + 512 :],
        "flip.tar.gz": packed[:300] + bytes([packed[300] ^ 255]) + packed[301:],
        "half.tar.gz": packed[: len(packed) // 2],
        "secret.zip": encrypted.read_bytes(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: not a whole archive"):
            unpack(tmp_path / name, tmp_path / f"out-{name}")
    unpack(whole, tmp_path / "good")
    assert len(list((tmp_path / "good").iterdir())) == 50


def test_an_archive_without_data_and_a_bomb_are_said(tmp_path, monkeypatch):
    """An empty split without a word; and 81 KB that fill a disk."""
    monkeypatch.setenv("MINILUOTUO_HOME", str(tmp_path / "cache"))
    archive(tmp_path / "n.zip", {"notes.md": "x", "__MACOSX/._a.json": "x"})
    with pytest.raises(DataError, match="n.zip: found no member with one of the endings"):
        members(tmp_path / "n.zip")
    monkeypatch.setattr("miniluotuo_utils.data.download.LARGEST", 1000)
    archive(tmp_path / "b.zip", {"a.json": "0" * 5000})
    with pytest.raises(DataError, match="b.zip: its members make .*hostile"):
        members(tmp_path / "b.zip")


def test_one_address_twice_and_two_processes_download_once(httpserver, tmp_path, monkeypatch):
    """Two threads once wrote into one `.part`: the file was damaged, and the network was blamed."""
    for name, value in (
        ("MINILUOTUO_HOME", str(tmp_path)),
        ("MINILUOTUO_MIRROR", httpserver.url_for("/").rstrip("/")),
        ("HF_HUB_OFFLINE", "0"),
    ):
        monkeypatch.setenv(name, value)
    body = b"x" * 200_000
    (tmp_path / "body").write_bytes(body)
    httpserver.expect_request("/host.example/a.json").respond_with_data(body)
    pin = {
        "url": "https://host.example/a.json",
        "bytes": len(body),
        "sha256": file_sha256(tmp_path / "body"),
    }
    assert fetch_all([pin, dict(pin)], progress=False) == [tmp_path / "host.example" / "a.json"] * 2
    assert len(httpserver.log) == 1
    (tmp_path / "host.example" / "a.json").unlink()
    code = (
        "import sys, json; from miniluotuo_utils.data.download import fetch_all; "
        "fetch_all([json.loads(sys.argv[1])], progress=False)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, json.dumps(pin)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate()[1][-200:] for process in both] == [b""] * 4


def test_a_fault_of_this_machine_is_not_blamed_on_the_network(httpserver, tmp_path, monkeypatch):
    """`Check the network` sent people to their router while their disk was full, or the mirror's
    name mistyped."""
    (tmp_path / "file").write_text("")
    for name, value in (
        ("MINILUOTUO_HOME", str(tmp_path / "file")),
        ("MINILUOTUO_MIRROR", httpserver.url_for("/").rstrip("/")),
        ("HF_HUB_OFFLINE", "0"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(OSError, match="cannot write the download cache.*set MINILUOTUO_HOME"):
        fetch({"url": "https://host.example/a.json", "bytes": None, "sha256": None})
    monkeypatch.setenv("MINILUOTUO_MIRROR", "mirrro")
    with pytest.raises(
        FileNotFoundError, match="MINILUOTUO_MIRROR is 'mirrro', and there is no such folder"
    ):
        fetch({"url": "https://host.example/a.json", "bytes": None, "sha256": None})
    assert mirrored("https://h/get?id=A") != mirrored("https://h/get?id=B")


def test_an_address_that_leaves_its_folder_is_refused():
    """A card from a stranger could write anywhere below the cache."""
    for url in (
        "https://host.example/../../etc/passwd",
        "https://host.example/%2e%2e/%2e%2e/x",
        "manual:../x.json",
    ):
        with pytest.raises(DataError, match="leaves its folder"):
            mirrored(url)


def test_pins_are_filled_from_the_real_file(httpserver, tmp_path, monkeypatch):
    """An address at a branch, without size and hash: after `pin` it has a commit and both, and what
    was pinned stays."""
    body, commit = b'[{"instruction": "q", "output": "a"}]', "0123456789" * 4
    httpserver.expect_request("/datasets/a/b/resolve/main/x.json").respond_with_data(
        b"", headers={"X-Repo-Commit": commit}
    )
    httpserver.expect_request(f"/datasets/a/b/resolve/{commit}/x.json").respond_with_data(body)
    for name, value in (
        ("HF_ENDPOINT", httpserver.url_for("/")),
        ("MINILUOTUO_HOME", str(tmp_path)),
        ("MINILUOTUO_MIRROR", ""),
    ):
        monkeypatch.setenv(name, value)
    old = {"url": "https://host.example/old.json", "bytes": 1, "sha256": "0" * 64}
    card = asdict(CATALOG["alpaca-gpt4-zh"]) | {"name": "new"}
    card["splits"] = {
        "train": [
            {
                "url": "https://huggingface.co/datasets/a/b/resolve/main/x.json",
                "bytes": None,
                "sha256": None,
            },
            old,
        ]
    }
    (tmp_path / "new.json").write_text(json.dumps(card))
    [line] = pin_card("new", tmp_path)
    first, second = json.loads((tmp_path / "new.json").read_text())["splits"]["train"]
    assert line.startswith("x.json: ")
    assert commit in first["url"]
    assert first["bytes"] == len(body)
    assert second == old
    assert file_sha256(home() / mirrored(first["url"])) == first["sha256"]
    assert pin_card("new", tmp_path) == []


def test_a_branch_on_github_becomes_its_commit(httpserver, monkeypatch):
    """A branch moves; what was counted then is not what is downloaded now."""
    monkeypatch.setattr("pin.API", httpserver.url_for("/").rstrip("/"))
    httpserver.expect_request("/repos/a/b/commits/main").respond_with_data("ab" * 20)
    httpserver.expect_request("/repos/a/b/commits/gone").respond_with_data("Not Found", status=404)
    assert (
        at_commit("https://raw.githubusercontent.com/a/b/main/c/d.json")
        == f"https://raw.githubusercontent.com/a/b/{'ab' * 20}/c/d.json"
    )
    assert at_commit(CATALOG["resume"].pins[0]["url"]) == CATALOG["resume"].pins[0]["url"]
    with pytest.raises(DataError, match="did not say which commit"):
        at_commit("https://raw.githubusercontent.com/a/b/gone/c.json")


def test_validate_names_line_field_and_fault(tmp_path, capsys):
    """Who writes data for us must learn what is wrong without reading our code."""
    path = tmp_path / "mine.jsonl"
    good = {
        "sentence": "李白生于碎叶",
        "source": "me",
        "entities": [{"name": "碎叶", "type": "地点", "pos": [4, 6]}],
    }
    bad = {**good, "entities": [{"name": "碎叶", "type": "地点", "pos": [3, 5]}]}
    path.write_text(
        "\n".join([json.dumps(good), "", '{"a"', json.dumps(bad), json.dumps({"instruction": "q"})])
    )
    assert main(["validate", str(path)]) == 1
    printed = capsys.readouterr().out
    for words in (
        "line 3: Expecting ':'",
        "line 4: field entities[0].pos: found [3, 5] = '于碎'",
        "line 5: field sentence: found None",
        "1 IE records well-formed, 3 faults",
    ):
        assert words in printed, printed
    path.write_text(json.dumps(good) + "\n")
    assert main(["validate", str(path)]) == 0
    assert main(["validate", str(tmp_path / "none.jsonl")]) == 2


def test_a_class_mirror_can_be_built_and_used(mirror, tmp_path, monkeypatch):
    """`download NAME --mirror DIR` must lay files out as MINILUOTUO_MIRROR reads them."""
    copy_into_mirror(CATALOG["resume"].pins, tmp_path / "stick")
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "stick"))
    assert sum(1 for _ in read("resume", "dev", False)) == 463
    shutil.rmtree(tmp_path / "stick")


def test_what_notebook_01_left_is_preferred(runs, capsys):
    """A notebook that ignores its predecessor's output does not show a pipeline; one that finds
    none said so four times in a row."""
    runtime = setup("smoke")
    say_missing.cache_clear()
    assert len(from_previous(runtime, "embedded-ner", "test")) == 60
    assert len(from_previous(runtime, "embedded-re", "test")) == 40
    assert capsys.readouterr().out.count("read from the catalog") == 1
    runtime.path("data", "embedded-ner_test.jsonl").write_text(
        '{"sentence": "x", "entities": []}\n'
    )
    assert len(from_previous(runtime, "embedded-ner", "test")) == 1
    record = {
        "sentence": "ab",
        "relations": None,
        "entities": [{"name": "a", "type": "NAME", "pos": [0, 1]}],
    }
    assert renamed(record, {"NAME": "姓名"})["entities"][0]["type"] == "姓名"


@pytest.mark.parametrize(
    ("task", "train", "test", "types"),
    [("NER", 250, 60, 8), ("RE", 120, 40, 8), ("EE", 120, 40, 6)],
)
def test_embedded_records_are_true_and_their_splits_apart(task, train, test, types):
    """Every span is checked; shared sentences or names would make the test split worthless."""
    field, splits = TASKS[task], {}
    for split, count in (("train", train), ("test", test)):
        records = splits[split] = read_jsonl(
            EMBEDDED / f"{task.lower()}_{split}.jsonl", check_record
        )
        assert len(records) >= count
        assert all(r["annotation"] == "exhaustive" for r in records)
        assert len({i["type"] for r in records for i in r[field]}) >= types
        assert not any("\ufffd" in r["sentence"] for r in records)
    sentences = [{r["sentence"] for r in splits[s]} for s in ("train", "test")]
    assert not sentences[0] & sentences[1]
    assert len(sentences[0]) == len(splits["train"])
    names = [{t for r in splits[s] for t in names_of(r)} for s in ("train", "test")]
    assert len(names[0] & names[1]) <= 0.25 * len(names[1])


def names_of(record):
    """Every name of a record but the triggers, which repeat by nature."""
    yield from (e["name"] for e in record.get("entities") or [])
    for r in record.get("relations") or []:
        yield from (r["head"]["name"], r["tail"]["name"])
    for e in record.get("events") or []:
        yield from (a["name"] for a in e["arguments"])


def test_embedded_instructions():
    """Numbers that the README states."""
    bank = read_jsonl(EMBEDDED / "bank.jsonl", check_row)
    seeds, topics = read_jsonl(EMBEDDED / "seeds.jsonl"), read_jsonl(EMBEDDED / "topics.jsonl")
    assert len(bank) >= 400
    assert len(seeds) >= 150
    assert len(topics) >= 200
    assert len(clean(bank)[0]) == len(bank), "a duplicate in the bank"
    assert len({t["topic"] for t in topics}) == len(topics)
    assert {r["topic"] for r in read_jsonl(EMBEDDED / "bank.jsonl")} <= {t["topic"] for t in topics}
    assert not {s["instruction"] for s in seeds} & {r["instruction"] for r in bank}
