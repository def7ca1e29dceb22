"""The form that corrects entities: what each action does, with no browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.ie.corrections import Corrections
from miniluotuo_utils.show import plain
from miniluotuo_utils.show.correcting import SCRIPT, Form, correction_form

TYPES = ["植物", "园区", "时间"]


def silver(sentence, *entities):
    """An IE record whose entities are (name, type)."""
    found = []
    for name, kind in entities:
        start = sentence.index(name)
        found.append({"name": name, "type": kind, "pos": [start, start + len(name)]})
    return {"sentence": sentence, "annotation": "silver", "entities": found}


def records():
    return [
        silver("梅园的蜡梅开了。", ("梅园", "园区")),
        silver("𠮷野樱周六开😀放。", ("周六", "时间"), ("樱", "植物")),
        silver("今天闭园。", ("今天", "时间")),
    ]


@pytest.fixture
def form(tmp_path):
    return Form(Corrections(tmp_path / "mine.jsonl", records(), TYPES))


def names(form):
    return [(entity["name"], entity["type"]) for entity in form.entities]


def test_accept_saves_and_turns_to_the_next(form):
    """A sentence that was accepted was lost when the kernel died before the end."""
    state = form.handle({"do": "accept"})
    assert (state["done"], state["count"]) == (1, 3)
    assert "".join(state["characters"]) == "𠮷野樱周六开😀放。"
    [_, line] = read_jsonl(form.corrections.path)
    assert line["entities"] == records()[0]["entities"]
    assert line["changes"]["kept"] == 1


def test_add_remove_retype_and_undo(form):
    """Each of the four must work on its own, or a wrong proposal could not be mended."""
    form.handle({"do": "add", "start": 3, "end": 5, "type": "植物"})
    assert names(form) == [("梅园", "园区"), ("蜡梅", "植物")]
    form.handle({"do": "retype", "at": 1, "type": "时间"})
    assert names(form)[1] == ("蜡梅", "时间")
    form.handle({"do": "remove", "at": 0})
    assert names(form) == [("蜡梅", "时间")]
    for _ in range(3):
        form.handle({"do": "undo"})
    assert names(form) == [("梅园", "园区")]


def test_places_count_characters_beyond_the_basic_plane_once(form):
    """A browser counts 𠮷 and 😀 as two: names behind them would be cut a character late."""
    form.handle({"do": "skip"})
    state = form.handle({"do": "add", "start": 0, "end": 3, "type": "植物"})
    assert names(form)[0] == ("𠮷野樱", "植物")
    assert len(state["characters"]) == len("𠮷野樱周六开😀放。")


def test_a_new_name_replaces_the_one_at_its_place_and_those_it_crosses(form):
    """Two names that cross half-way fit into no format with one tag a character."""
    form.handle({"do": "add", "start": 1, "end": 5, "type": "植物"})
    assert names(form) == [("园的蜡梅", "植物")]
    form.handle({"do": "add", "start": 1, "end": 5, "type": "园区"})
    assert names(form) == [("园的蜡梅", "园区")]


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"do": "format"},
        {"do": "add", "start": "0", "end": 2, "type": "植物"},
        {"do": "add", "start": 0, "end": 2, "type": "<script>"},
        {"do": "retype", "at": True, "type": "植物"},
        {"do": "remove"},
    ],
)
def test_a_message_that_is_none_of_ours_changes_nothing(form, message):
    """What a page sends is not ours to trust: an exception in the kernel would freeze the form."""
    before = form.state()
    after = form.handle(message)
    assert "没有做" in after["said"]
    assert {**after, "said": ""} == before


def test_the_end_is_said_and_leads_back(form):
    """At the end a form stood on its last sentence, as if nothing had been saved."""
    for _ in range(3):
        state = form.handle({"do": "accept"})
    assert state["ended"] and state["done"] == 3
    assert form.handle({"do": "accept"})["done"] == 3
    state = form.handle({"do": "back"})
    assert state["corrected"] and "".join(state["characters"]) == "今天闭园。"


def test_skipped_sentences_come_again(form):
    """What is skipped stays open: the form begins again at the first."""
    form.handle({"do": "skip"})
    form.handle({"do": "accept"})
    state = form.handle({"do": "accept"})
    assert "".join(state["characters"]) == "梅园的蜡梅开了。"


def test_html_in_a_sentence_stays_text(tmp_path, monkeypatch):
    """A sentence of a web page held a script, and the notebook would have run it."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    bad = "<script>alert(1)</script>开花"
    page = correction_form(Corrections(tmp_path / "a.jsonl", [silver(bad)], ["<b>"]))
    assert "<script>" not in page.data and "<b>" not in page.data.replace("<b>改好", "")
    assert bad in plain(page.data)
    assert "innerHTML" not in SCRIPT.read_text(encoding="utf-8")


def test_the_least_certain_comes_first(tmp_path):
    """Certainty reversed, the form would offer what the student already knows."""
    found = Corrections(tmp_path / "a.jsonl", records(), TYPES, certainty=[0.9, 0.2, 0.5])
    assert [one[:2] for one in found.order] == ["𠮷野", "今天", "梅园"]
    assert [r["sentence"] for r in found.records()] == []


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_correcting import Corrections, Form, TYPES, records
form = Form(Corrections(Path(sys.argv[1]), records(), TYPES))
form.handle({"do": "add", "start": 3, "end": 5, "type": "植物"})
form.handle({"do": "accept"})
form.handle({"do": "remove", "at": 0})
os.kill(os.getpid(), 9)
"""


def test_a_killed_form_goes_on_where_it_was(tmp_path):
    """An afternoon of corrections was gone with the kernel."""
    path = tmp_path / "mine.jsonl"
    here = Path(__file__).parent
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(here)])
    with open(path, "ab") as file:
        file.write(b'{"sentence": "half')
    again = Form(Corrections(path, records()[::-1], TYPES))
    assert again.corrections.progress == (1, 3)
    [record] = again.corrections.records()
    assert [e["name"] for e in record["entities"]] == ["梅园", "蜡梅"]
    assert record["annotation"] == "exhaustive"


def test_a_file_of_other_types_is_refused(tmp_path):
    """A type that came later was never looked for in the sentences before it."""
    path = tmp_path / "mine.jsonl"
    Form(Corrections(path, records(), TYPES)).handle({"do": "accept"})
    with pytest.raises(DataError, match="types"):
        Corrections(path, records(), [*TYPES, "活动"])


def test_a_mended_line_is_checked_with_its_number(tmp_path):
    """A place that a person mistyped in the file would cut out another name."""
    path = tmp_path / "mine.jsonl"
    Form(Corrections(path, records(), TYPES)).handle({"do": "accept"})
    head, line = path.read_text(encoding="utf-8").splitlines()
    bad = json.loads(line)
    bad["entities"][0]["pos"] = [1, 3]
    path.write_text(f"{head}\n{json.dumps(bad)}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine.jsonl, line 2"):
        Corrections(path, records(), TYPES)


def test_what_a_full_disk_did_not_save_is_said(form, monkeypatch):
    """The form went on to the next sentence, and the one before was not saved."""

    def full(*lines):
        raise OSError("No space left on device")

    monkeypatch.setattr(form.corrections.journal, "append", full)
    state = form.handle({"do": "accept"})
    assert "没有存上" in state["said"] and state["done"] == 0
    assert "".join(state["characters"]) == "梅园的蜡梅开了。"


def test_the_widget_hands_on_what_the_browser_sends(tmp_path):
    """The form's own tests pass while nothing that is clicked reaches it."""
    pytest.importorskip("anywidget", reason="no anywidget here, the form is not drawn")
    widget = correction_form(Corrections(tmp_path / "a.jsonl", records(), TYPES))
    widget._handle_custom_msg({"do": "accept"}, [])
    assert widget.state["done"] == 1
