"""The student that ships: its folder is whole, asks as it was trained, and its card is true."""

import csv
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pretrain import own_rows

from miniluotuo_utils.data import available, load
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.generation.batching import end_ids
from miniluotuo_utils.generation.constrained import grammars
from miniluotuo_utils.ie.constraints import grammar
from miniluotuo_utils.prompts import SHORT_TEMPLATE, messages_of
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students.folder import generation_settings
from miniluotuo_utils.tokens import prompt_ids, prompt_of, text_of
from miniluotuo_utils.tokens.vocabulary import tokenised

ROOT = Path(__file__).resolve().parents[2]
FOLDER = EMBEDDED / "student"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = [
    {
        "instruction": "找出句子里的实体，类型有：人物、地点。用JSON回答。",
        "input": "李白生于碎叶。",
    },
    {"instruction": "那骆驼呢？", "history": [["马的英文是什么？", "horse"]]},
]


def test_it_is_small():
    """A clone grows by the weights each time that they are committed."""
    from transformers import AutoConfig

    assert (FOLDER / "model.safetensors").stat().st_size <= 16e6
    assert AutoConfig.from_pretrained(FOLDER).tie_word_embeddings
    names = {path.name for path in FOLDER.iterdir()}
    assert {"chat_template.jinja", "training.jsonl", "curves.png"} < names


def test_it_is_asked_as_plain_transformers_would(tiny):
    """A server that takes the folder's chat template asked in another format than was trained."""
    assert tiny.tokenizer.chat_template == SHORT_TEMPLATE
    for row in ROWS:
        ids = tiny.tokenizer.apply_chat_template(
            messages_of(row), add_generation_prompt=True, return_dict=False
        )
        assert prompt_ids(tiny.tokenizer, [prompt_of(tiny, row)]) == [ids]


def test_a_pipeline_answers_as_it_does(tiny):
    """The folder's generation settings cut the answer short, or drew it."""
    from transformers import GenerationConfig, pipeline

    found, wanted = GenerationConfig.from_pretrained(FOLDER), generation_settings(tiny)
    assert found.to_diff_dict() == wanted.to_diff_dict()

    ask = pipeline("text-generation", str(FOLDER), device="cpu", dtype="float32")
    for row in ROWS:
        found = ask([messages_of(row)], max_new_tokens=48)[0][0]["generated_text"][-1]["content"]
        assert found == generate(tiny, [prompt_of(tiny, row)], max_new_tokens=48)[0]


@settings(max_examples=200)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_text_is_lost(tiny, text):
    """What the vocabulary swallows, no training brings back."""
    assert text_of(tiny.tokenizer, tokenised(tiny.tokenizer, [text])[0]) == text


def test_common_characters_have_a_token_each(tiny):
    """A name of byte tokens takes three times as long to write, and a small student misspells
    it. The garden's text stands for a reader's own, which may hold any character."""
    pairs = [bytes([0xB0 + row, 0xA1 + cell]) for row in range(40) for cell in range(94)]
    level_1 = [pair.decode("gb2312", "ignore") for pair in pairs]
    own = [path for path in EMBEDDED.glob("*.jsonl") if not path.stem.startswith("garden")]
    embedded = {*"".join(path.read_text("utf-8") for path in own)} - {"\n"}
    vocabulary = tiny.tokenizer.get_vocab()
    assert not [
        letter for letter in {*filter(None, level_1)} | embedded if letter not in vocabulary
    ]


def test_a_grammar_reaches_every_name(tiny):
    """Names with spaces, and with characters of bytes, were out of a grammar's reach."""
    answer = '{"人物":["John Smith"],"地点":["龘城"]}'
    rules = grammar("John Smith住在龘城。", ["人物", "地点"], "NER")
    [held] = grammars(tiny.tokenizer, end_ids(tiny), len(tiny.tokenizer), [rules])
    ids = tokenised(tiny.tokenizer, [answer])[0]
    assert all(held.allowed(ids[:at])[token] for at, token in enumerate(ids))
    assert list(held.allowed(ids).nonzero()[0]) == end_ids(tiny)
    assert held.text(ids) == answer


@pytest.mark.mirror
@pytest.mark.parametrize("name", ["cluener", "resume", "duie-sample", "fewfc"])
def test_the_characters_of_evaluation_sets_have_a_token_each(tiny, mirror, name):
    """The same, where it is measured."""
    assert available(name)
    vocabulary, letters = tiny.tokenizer.get_vocab(), set()
    for rows in load(name, progress=False).values():
        letters |= {letter for sentence in rows["sentence"] for letter in sentence}
    assert not letters - set(vocabulary)


def test_what_was_kept_out_is_what_the_notebooks_measure():
    """A loss on rows that the base had read was shown as one on rows that nobody had."""
    bank = list(read_jsonl(EMBEDDED / "bank.jsonl"))
    unseen = bank[9::10]
    assert own_rows() == [row for row in bank if row not in unseen]
    taken = {"03_tokenization": 'bank.jsonl\\")[9::10]', "04_finetune_3_5b": "unread = bank[9::10]"}
    for name, said in taken.items():
        assert said in (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"), name


def test_the_card_is_complete():
    """Weights without sources, licences and limits; a figure that somebody meant to fill in."""
    front = yaml.safe_load(CARD.split("---")[1])
    assert (front["language"], front["license"]) == ("zh", "apache-2.0")
    assert not re.search("TO-BE-MEASURED|TODO", CARD)
    for word in ("number % 10 == 9", "CLUENER", "CC BY-SA", "LAC"):
        assert word in CARD


def test_the_card_lists_every_source():
    """A source that was added to the corpus, and whose licence asks for its name."""
    with open(ROOT / "scripts" / "corpus_sources.tsv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            assert re.search(rf"\| {row['name']} \|.*{re.escape(row['licence'])}", CARD), row[
                "name"
            ]


def test_the_card_states_the_log_s_tokens():
    """A card of an earlier training beside the log of a later one."""
    last = read_jsonl(FOLDER / "training.jsonl")[-1]
    assert f"{last['tokens'] / 1e6:.1f}" in CARD
