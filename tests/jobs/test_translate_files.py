"""`translate IN OUT`: a chat teacher or a translation model, places kept, nothing asked twice."""

import json

import pytest
import torch
from tiny_random import tokenizer_like
from transformers import M2M100Config, M2M100ForConditionalGeneration, MarianConfig, MarianMTModel

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.data.licences import TRANSLATED
from miniluotuo_utils.data.readers import READERS, read_file
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.jobs.instructions import instruction_set
from miniluotuo_utils.jobs.translate import span_table, translate_file
from miniluotuo_utils.records import check_record, mentions
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import ZOO
from miniluotuo_utils.students.translator import Translator
from miniluotuo_utils.teacher import RecordedTeacher, Teacher
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.store import Reply
from miniluotuo_utils.teacher.translation import (
    KEPT,
    TOGETHER,
    UNMARKABLE,
    recorded_translations,
    translate,
)

FOLDER = EMBEDDED / "translation"
OWN = read_jsonl(FOLDER / "translations.jsonl")
RIVER = {
    "sentence": "The Danube rises in Germany",
    "source": "own",
    "entities": [
        {"name": "Danube", "type": "river", "pos": [4, 10]},
        {"name": "Germany", "type": "country", "pos": [20, 27]},
    ],
}


@pytest.fixture
def english(tmp_path):
    """Our forty sentences as files of records, in the two formats' own names."""
    for file, reader in (("wnut17.conll", "bio_words"), ("conll04.txt", "conll04")):
        name = file.partition(".")[0]
        records = list(read_file(FOLDER / file, READERS[reader], name))
        write_jsonl(tmp_path / f"{name}.jsonl", records)
    return tmp_path


# ---- a chat teacher


def test_a_file_becomes_chinese_and_the_same_command_asks_nothing_twice(english, capsys):
    """A killed run began anew, and paid for every sentence again."""
    out, lost = english / "zh.jsonl", english / "lost.jsonl"
    with RecordedTeacher(recorded_translations(OWN)) as server:
        asked = ["translate", english / "wnut17.jsonl", out, "--rejected", lost]
        asked += ["--store", english / "store.sqlite"]
        asked += ["--base-url", server.base_url, "--model", server.model]
        asked = [str(word) for word in asked]
        assert main(asked) == 0
        first = capsys.readouterr().out
        before = out.read_bytes()
        assert main(asked) == 0
    second = capsys.readouterr().out
    assert out.read_bytes() == before
    assert "asked 0, from the store" in second
    assert KEPT in first

    records = read_jsonl(out, check_record)
    number = len(read_jsonl(english / "wnut17.jsonl"))
    assert len(records) + len(read_jsonl(lost)) == number
    assert {record["source"] for record in records} == {f"wnut17{TRANSLATED}"}
    # The catalog's card names the types in Chinese.
    kinds = {thing["type"] for record in records for thing, _ in mentions(record)}
    assert "location" not in kinds
    assert "地点" in kinds


def test_rows_are_refused_before_anything_is_asked(tmp_path):
    """An instruction has no names with places, whatever a teacher makes of it."""
    write_jsonl(
        tmp_path / "rows.jsonl", [{"instruction": "Say hello.", "input": "", "output": "hi"}]
    )
    with RecordedTeacher([]) as server, pytest.raises(DataError, match="expected IE records"):
        translate_file(
            Teacher(server.base_url, server.model), tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
        )


def test_an_output_of_other_lines_is_kept(english):
    """`translate` over a file of somebody's own records."""
    write_jsonl(english / "mine.jsonl", [RIVER])
    with (
        RecordedTeacher(recorded_translations(OWN)) as server,
        pytest.raises(ValueError, match="--replace"),
    ):
        teacher = Teacher(server.base_url, server.model)
        translate_file(teacher, english / "conll04.jsonl", english / "mine.jsonl", progress=False)
    assert read_jsonl(english / "mine.jsonl") == [RIVER]


# ---- a model that only translates


class Plain:
    """A translator that loses every mark, and knows names."""

    plain = True
    known = {
        "The <e1>Danube</e1> rises in <e2>Germany</e2>": "多瑙河发源于德国",
        "The Danube rises in Germany": "多瑙河发源于德国。",
        "Danube": "多瑙河。",
        "Germany": "德国",
    }

    def __init__(self, **other):
        self.known, self.asked = {**self.known, **other}, []

    def ask(self, requests, **sampling):
        texts = [messages[-1]["content"] for messages in requests]
        self.asked += texts
        return [Reply(self.known[text], "stop") for text in texts]


def test_names_alone_find_their_places_where_marks_are_lost():
    """Translation models keep no marks: all of a sentence's names were lost with them."""
    translator = Plain()
    found = translate(translator, [RIVER], {"river": "河流"})
    [record] = found.records
    assert record["sentence"] == "多瑙河发源于德国。"
    assert [(e["name"], e["type"], e["pos"]) for e in record["entities"]] == [
        ("多瑙河", "河流", [0, 3]),
        ("德国", "country", [6, 8]),
    ]
    assert found.spans == {KEPT: 2}
    assert "下面" not in "".join(translator.asked), "it follows no instruction"


def test_spans_are_counted_by_what_became_of_them():
    """A share of sentences hides which names are lost, and why."""
    overlapping = {
        **RIVER,
        "entities": [*RIVER["entities"], {**RIVER["entities"][0], "pos": [4, 9], "name": "Danub"}],
    }
    found = translate(Plain(Germany="德意志"), [RIVER, overlapping])
    assert found.records == []
    assert found.spans == {"标记丢了 lost": 1, TOGETHER: 1, UNMARKABLE: 3}
    assert "| 标记丢了 lost | 1 | 20.0% |" in span_table(found)
    assert "| 留下 kept | 0 | 0.0% |" in span_table(found)


SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}


def tiny_translator(folder, kind="marian", seed=0):
    """Write a translation model of random weights, one layer deep, with its family's token."""
    tokenizer = tokenizer_like(ZOO["t5-61m"])
    special = {"marian": ">>cmn_Hans<<", "nllb": "zho_Hans"}[kind]
    tokenizer.add_special_tokens({"additional_special_tokens": [special]})
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "decoder_start_token_id": 0}
    config, model = {
        "marian": (MarianConfig, MarianMTModel),
        "nllb": (M2M100Config, M2M100ForConditionalGeneration),
    }[kind]
    torch.manual_seed(seed)
    made = model(config(**SIZES, **ids, vocab_size=len(tokenizer), forced_eos_token_id=None))
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["marian", "nllb"])
def test_a_translation_model_answers_like_a_teacher(kind, tmp_path):
    """Language tokens left out: a model of many languages answers in the first of them."""
    folder = tiny_translator(tmp_path / kind, kind)
    translator = Translator(folder, tmp_path / "store.sqlite", batch_size=2)
    asked = [chat(text) for text in ("rain", "a long way from home", "rain", "tea")]
    replies = translator.ask(asked, progress=False, max_tokens=6)
    assert [reply.error for reply in replies] == [None] * 4
    assert replies[0] == replies[2]
    assert translator.spent == {"asked": 3, "from_store": 1}
    assert (translator.first, bool(translator.into)) == {
        "marian": (">>cmn_Hans<< ", False),
        "nllb": ("", True),
    }[kind]

    # Another process goes on from the store; other weights of the same name do not.
    again = Translator(folder, tmp_path / "store.sqlite")
    assert [r.text for r in again.ask(asked, max_tokens=6)] == [r.text for r in replies]
    assert again.spent["asked"] == 0
    other = tiny_translator(tmp_path / "other" / kind, kind, seed=1)
    anew = Translator(other, tmp_path / "store.sqlite")
    anew.ask(asked, progress=False, max_tokens=6)
    assert anew.spent["asked"] == 3


def test_a_text_that_does_not_fit_is_an_error_of_its_own(tmp_path):
    """Cut at the model's end, the last names of a long sentence vanish without a word."""
    translator = Translator(tiny_translator(tmp_path / "marian"))
    long = " ".join(["willow"] * 100)
    good, bad = translator.ask([chat("rain"), chat(long)], progress=False, max_tokens=4)
    assert good.error is None
    assert "a text over 64 tokens" in bad.error


def test_what_does_not_translate_is_refused_by_name():
    """A chat model as --machine would answer the sentence instead."""
    with pytest.raises(ValueError, match="found 'qwen3', not a model that translates"):
        Translator("tiny")


def test_the_shell_runs_a_model_from_a_folder(english, capsys):
    """Random weights write no Chinese: every sentence is reported, none is written."""
    folder = tiny_translator(english / "marian")
    asked = ["translate", english / "wnut17.jsonl", english / "zh.jsonl", "--machine", folder]
    asked += ["--store", english / "store.sqlite", "--max-tokens", 8]
    asked += ["--rejected", english / "lost.jsonl"]
    assert main([str(word) for word in asked]) in (0, 1)
    told = capsys.readouterr().out
    number = len(read_jsonl(english / "wnut17.jsonl"))
    written = len(read_jsonl(english / "zh.jsonl"))
    assert f"{written} of {number} sentences" in told
    assert len(read_jsonl(english / "lost.jsonl")) == number - written


# ---- what comes of it


def test_translations_are_a_source_of_instructions(english):
    """`instructions` took names of the catalog alone: a translated file led nowhere."""
    with RecordedTeacher(recorded_translations(OWN)) as server:
        teacher = Teacher(server.base_url, server.model)
        for name in ("wnut17", "conll04"):
            out = english / f"{name}-zh.jsonl"
            translate_file(teacher, english / f"{name}.jsonl", out, progress=False)
    names = [str(english / "wnut17-zh.jsonl"), str(english / "conll04-zh.jsonl"), "embedded-ner"]
    stats = instruction_set(english / "set", names, limit=20)
    used = {(one["name"], one["task"], one["language"]): one["used"] for one in stats["sources"]}
    assert used["wnut17-zh", "NER", "zh"] > 5
    assert used["conll04-zh", "RE", "zh"] > 5
    rows = read_jsonl(english / "set" / "train.jsonl")
    assert {"wnut17-zh", "conll04-zh", "embedded-ner"} == {row["source"] for row in rows}
    written = "".join(p.read_text(encoding="utf-8") for p in (english / "set").glob("*.*"))
    assert str(english) not in written
    assert json.loads((english / "set" / "stats.json").read_text())["options"]["names"] == [
        "wnut17-zh",
        "conll04-zh",
        "embedded-ner",
    ]
