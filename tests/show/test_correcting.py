"""The form that corrects entities: what each action does, with no browser."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.files import DataError, read_jsonl
from miniluotuo_utils.ie.corrections import Corrections, clash
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
    form.handle({"do": "retype", "start": 3, "end": 5, "type": "时间"})
    assert names(form)[1] == ("蜡梅", "时间")
    form.handle({"do": "remove", "start": 0, "end": 2})
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
        {"do": "retype", "start": True, "end": 2, "type": "植物"},
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


def test_a_page_of_a_finished_file_shows_what_was_corrected(tmp_path, monkeypatch):
    """Run a second time, the notebook's page showed no sentence at all."""
    monkeypatch.setenv("MINILUOTUO_HEADLESS", "1")
    found = Corrections(tmp_path / "a.jsonl", [silver("梅园开了。")], ["园区"])
    found.save("梅园开了。", [{"name": "梅园", "type": "园区", "pos": [0, 2]}])
    assert "［梅园｜园区］开了。" in plain(correction_form(found).data)


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
form.handle({"do": "remove", "start": 0, "end": 2})
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


def test_a_key_that_comes_late_is_for_the_sentence_it_was_pressed_for(form):
    """Two quick Enters accepted a sentence unseen: the second came before the answer."""
    state = form.handle({"do": "accept", "turn": 1})
    assert form.handle({"do": "accept", "turn": 1}) == state
    assert form.corrections.progress == (1, 3)
    assert form.handle({"do": "accept", "turn": state["turn"]})["done"] == 2


def test_a_second_delete_takes_no_other_name(form):
    """Deleted by its number, the next name went when the key was pressed twice."""
    form.handle({"do": "add", "start": 3, "end": 5, "type": "植物"})
    for _ in range(2):
        form.handle({"do": "remove", "start": 0, "end": 2, "turn": 1})
        form.handle({"do": "retype", "start": 0, "end": 2, "type": "时间", "turn": 1})
    assert names(form) == [("蜡梅", "植物")]


def test_changes_that_were_not_accepted_wait(form):
    """A sentence was marked, then skipped for a look at the next, and bare afterwards."""
    form.handle({"do": "add", "start": 3, "end": 5, "type": "植物"})
    form.handle({"do": "skip"})
    state = form.handle({"do": "back"})
    assert names(form) == [("梅园", "园区"), ("蜡梅", "植物")] and state["drafts"] == 1
    form.handle({"do": "undo"})
    form.handle({"do": "skip"})
    assert form.handle({"do": "back"})["drafts"] == 0 and names(form) == [("梅园", "园区")]

    # All names taken out are a change as well.
    form.handle({"do": "remove", "start": 0, "end": 2})
    form.handle({"do": "skip"})
    assert form.handle({"do": "back"})["entities"] == []
    assert form.handle({"do": "accept"})["drafts"] == 0
    assert form.corrections.records()[0]["entities"] == []


def test_two_windows_do_not_overwrite_each_other(tmp_path):
    """The cell was run twice; what was corrected in the upper form was missing from the records,
    and the lower one's Enter put the old proposal over it."""
    upper, lower = (Form(Corrections(tmp_path / "a.jsonl", records(), TYPES)) for _ in range(2))
    upper.handle({"do": "add", "start": 3, "end": 5, "type": "植物"})
    upper.handle({"do": "accept"})
    assert lower.corrections.progress == (1, 3) and len(lower.corrections.records()) == 1

    # The lower one still shows the first sentence: its Enter shows what is there, saves nothing.
    lower.handle({"do": "retype", "start": 0, "end": 2, "type": "时间"})
    state = lower.handle({"do": "accept"})
    assert "另一个窗口" in state["said"]
    assert names(lower) == [("梅园", "园区"), ("蜡梅", "植物")]
    assert len(read_jsonl(lower.corrections.path)) == 2
    lower.handle({"do": "undo"})
    lower.handle({"do": "accept"})
    [record] = upper.corrections.records()
    assert [entity["type"] for entity in record["entities"]] == ["时间"]


def test_a_program_does_not_overwrite_another_window(tmp_path):
    """A loop of `save` replaced what a colleague had corrected a minute before."""
    one, other = (Corrections(tmp_path / "a.jsonl", records(), TYPES) for _ in range(2))
    one.save("今天闭园。", [])
    with pytest.raises(DataError, match="另一个窗口"):
        other.save("今天闭园。", other.proposal("今天闭园。"))
    other.save("今天闭园。", other.proposal("今天闭园。"))
    assert [len(record["entities"]) for record in one.records()] == [1]
    size = one.path.stat().st_size
    one.save("今天闭园。", one.proposal("今天闭园。"))
    assert one.path.stat().st_size == size


# ---- names that cross

PLACES = st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda place: place[0] < place[1])


@given(
    st.lists(st.tuples(PLACES, st.sampled_from(TYPES)), max_size=6),
    st.lists(st.tuples(PLACES, st.sampled_from(TYPES), st.booleans()), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_what_the_form_shows_can_be_saved_and_tagged(proposed, done):
    """Proposals of two types that crossed half-way became gold, which no tag a character holds."""
    sentence = "梅园的蜡梅开了。"
    entities = [{"name": sentence[a:b], "type": kind, "pos": [a, b]} for (a, b), kind in proposed]
    with TemporaryDirectory() as folder:
        given_ = [{"sentence": sentence, "entities": entities}]
        form = Form(Corrections(Path(folder) / "a.jsonl", given_, TYPES))
        for (a, b), kind, new in done:
            form.handle({"do": "add" if new else "retype", "start": a, "end": b, "type": kind})
        assert form.handle({"do": "accept"})["said"] == ""
        [record] = form.corrections.records()
    places = [entity["pos"] for entity in record["entities"]]
    for number, one in enumerate(places):
        assert not any(clash(one, other) for other in places[:number])


def test_names_that_cross_are_refused_with_both_names(tmp_path):
    """A colleague's tool allows names that cross; they came back and were saved."""
    found = Corrections(tmp_path / "a.jsonl", [silver("周六上午梅园")], TYPES)
    crossing = [
        {"name": "周六上午", "type": "时间", "pos": [0, 4]},
        {"name": "上午梅园", "type": "园区", "pos": [2, 6]},
    ]
    with pytest.raises(DataError, match="两个名字交叉：周六上午、上午梅园，去掉一个"):
        found.save("周六上午梅园", crossing)
    assert not found.path.exists()


# ---- another text, other types


def test_a_type_that_comes_later_does_not_lock_the_reader_out(tmp_path):
    """After fifty sentences a fifth type was needed: the file was refused, people deleted it."""
    path = tmp_path / "mine.jsonl"
    first = Corrections(path, records(), TYPES)
    first.save("梅园的蜡梅开了。", silver("梅园的蜡梅开了。", ("蜡梅", "植物"))["entities"])
    before = path.read_bytes()
    fresh = records()
    fresh[0]["entities"] += silver("梅园的蜡梅开了。", ("开", "活动"), ("蜡梅", "园区"))["entities"]
    more = Corrections(path, fresh, [*TYPES, "活动"])
    assert more.path.name == "mine-2.jsonl" and path.read_bytes() == before
    assert "1 句要再看一遍" in more.notes[0] and more.progress == (0, 3)
    # The old names, and what the machines say of the new type.
    found = [(e["name"], e["type"]) for e in more.proposal("梅园的蜡梅开了。")]
    assert found == [("蜡梅", "植物"), ("开", "活动")]
    assert more.notes[0] in Form(more).state()["said"]

    # Saved, it is closed, and both files go on, each for its types in any order.
    more.save("梅园的蜡梅开了。", more.proposal("梅园的蜡梅开了。"))
    again = Corrections(path, fresh, ["活动", *TYPES])
    assert again.path == more.path and again.progress == (1, 3) and not again.notes
    assert Corrections(path, records(), TYPES[::-1]).path == path


@pytest.mark.parametrize(
    "head", ['{"types": ["植物"]}', '{"corrections": "entities"}', "[1]", "half", '{"types": null}']
)
def test_a_file_that_is_none_of_ours_is_refused_in_both_languages(tmp_path, head):
    """A data set at that path was appended to."""
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{head}\n", encoding="utf-8")
    with pytest.raises(DataError, match="mine.jsonl.*（"):
        Corrections(path, records(), TYPES)
    assert path.read_text(encoding="utf-8") == f"{head}\n"


def test_a_mended_sentence_gets_its_names_back(tmp_path):
    """A typing error was mended in the text file: the sentence was open, bare, and nothing said."""
    path = tmp_path / "mine.jsonl"
    old = silver("周六起，梅园的腊梅开放。", ("梅园", "园区"), ("腊梅", "植物"), ("周六", "时间"))
    Corrections(path, [old, *records()], TYPES).save(old["sentence"], old["entities"])
    found = Corrections(path, [silver("周六起，梅园的蜡梅开放。"), *records()], TYPES)
    assert found.left == [old["sentence"]] and "1 句改好的" in found.notes[0]
    assert found.records() == []
    moved = [(e["name"], e["type"]) for e in found.proposal("周六起，梅园的蜡梅开放。")]
    assert moved == [("周六", "时间"), ("梅园", "园区")]


def test_the_open_sentences_are_asked_anew_and_nothing_else_moves(tmp_path):
    """The student's doubts went into a second file: whoever corrected there worked for nothing."""
    given_ = [record | {"document": n} for n, record in enumerate(records())]
    mine = Corrections(tmp_path / "a.jsonl", given_, TYPES)
    mine.save("梅园的蜡梅开了。", [])
    gold, texts = mine.records(), mine.open
    guessed = [silver(texts[0]), silver(texts[1], ("闭园", "园区"))]
    mine.offer(guessed, [0.9, 0.1])
    assert mine.open == texts[::-1] and mine.records() == gold
    form = Form(mine)
    assert names(form) == [("闭园", "园区")]
    form.handle({"do": "accept"})
    assert mine.records()[-1]["document"] == 2


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


def test_the_widget_hands_on_what_the_browser_sends(tmp_path, monkeypatch):
    """The form's own tests pass while nothing that is clicked reaches it."""
    monkeypatch.delenv("MINILUOTUO_HEADLESS", raising=False)
    pytest.importorskip("anywidget", reason="no anywidget here, the form is not drawn")
    widget = correction_form(Corrections(tmp_path / "a.jsonl", records(), TYPES))
    widget._handle_custom_msg({"do": "accept"}, [])
    assert widget.state["done"] == 1
