"""The base's pre-training: its rows are what a student is asked, its labels are the answers."""

import json
import random
import re
from types import SimpleNamespace

import framed_sentences
import pretrain
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from make_tokenizer import END, PAD, pairs_of
from pretraining_rows import SHARES, Material
from silver_labels import (
    COARSER,
    EVENTS,
    LISTED,
    NAMES,
    RELATIONS,
    Span,
    events,
    named,
    relations,
    renamed,
)
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from miniluotuo_utils.files import read_jsonl, write_jsonl
from miniluotuo_utils.ie import parse
from miniluotuo_utils.prompts import SHORT_TEMPLATE, SHORT_TOKENS
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import devices
from miniluotuo_utils.tokens import IGNORED

SENTENCES = [
    ("鲁迅出生于绍兴，写了《呐喊》。", [[0, 2, "人物"], [5, 7, "地点"]]),
    ("1998年，王选在北京大学当选院士。", [[0, 5, "时间"], [6, 8, "人物"], [9, 13, "机构"]]),
    ("董事长马云说：“今天很好。”", [[3, 5, "人物"]]),
    ("雨下了一夜，早上才停。", []),
    ("长江、黄河、珠江等河流各有特点。", [[0, 2, "地点"], [3, 5, "地点"], [6, 8, "地点"]]),
]


def record_of(sentence, labels):
    """Return a record as the annotator writes it."""
    entities = [{"name": sentence[a:b], "type": kind, "pos": [a, b]} for a, b, kind in labels]
    return {"sentence": sentence, "source": "", "annotation": "silver", "entities": entities}


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer of the base's form: characters, one merge, bytes."""
    texts = [text for text, _ in SENTENCES] + list(map(chr, range(32, 127)))
    letters = sorted({letter for text in texts for letter in text})
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*SHORT_TOKENS, PAD, *byte_tokens, *letters, '{"', '"]}']
    merges = pairs_of(['{"', '"]}'], set(letters))
    core = Tokenizer(
        models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, byte_fallback=True)
    )
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    core.add_special_tokens([*SHORT_TOKENS, PAD])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, chat_template=SHORT_TEMPLATE
    )


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Rows from a handful of sentences."""
    folder = tmp_path_factory.mktemp("material")
    write_jsonl(folder / "labels.jsonl", [record_of(*row) for row in SENTENCES])
    write_jsonl(folder / "paragraphs.jsonl", [{"text": text} for text, _ in SENTENCES])
    own = [{"instruction": "骆驼吃什么？", "input": "", "output": "骆驼吃草。"}]
    return Material(folder / "labels.jsonl", folder / "paragraphs.jsonl", own, seed=3)


def test_ids_are_those_of_the_chat_template(tokenizer):
    """A base trained in one form and asked in another answers badly."""
    dialogue = [["你好", "好。"], ["再问{", '{"人物":["鲁迅"]}']]
    roles = ("user", "assistant")
    messages = [
        {"role": role, "content": text}
        for turn in dialogue
        for role, text in zip(roles, turn, strict=True)
    ]
    ids, labels = pretrain.encoded(dialogue, tokenizer)
    assert ids == tokenizer.apply_chat_template(messages)["input_ids"]
    learned = tokenizer.decode([label for label in labels if label != IGNORED])
    assert learned == '好。<|endoftext|>{"人物":["鲁迅"]}<|endoftext|>'


def test_bare_text_is_learned_from_its_first_character(tokenizer):
    """Else the base never learns how a text begins."""
    ids, labels = pretrain.encoded([["", "雨"]], tokenizer)
    assert ids[0] == tokenizer.eos_token_id
    assert labels == [IGNORED, *ids[1:]]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60))
def test_batches_hold_every_row_and_no_more_tokens_than_a_step_has(lengths):
    """A row that falls out of a batch is data that nobody trains on."""
    rows = [(list(range(length)), [IGNORED] * length) for length in sorted(lengths)]
    batches = list(pretrain.cut(rows))
    assert [row for batch in batches for row in batch] == rows
    for batch in batches:
        inputs, labels = pretrain.tensors(batch, pad=-1)
        assert inputs.numel() <= pretrain.BATCH
        assert inputs.shape[1] % 16 == 0
        assert [row[row != -1].tolist() for row in inputs] == [ids for ids, _ in batch]
        assert torch.all(labels[inputs == -1] == IGNORED)


def test_names_in_any_letters_stand_where_they_stood(material):
    """Rare characters were miscopied: 鄱阳湖 became 阳湖. What is around a name stays."""
    text, spans = "鲁迅出生于绍兴，写了《呐喊》。", [Span(0, 2, "人物"), Span(5, 7, "地点")]
    told = {material.disguised(text, spans) for _ in range(20)}
    assert len(told) > 10
    assert {(one[2:5], one[7:], len(one)) for one in told} == {("出生于", text[7:], len(text))}
    nested = [Span(0, 2, "人物"), Span(1, 2, "职位")]
    assert material.disguised(text, nested) == text


@given(st.lists(st.integers(0, 12), min_size=4, max_size=10, unique=True).map(sorted))
def test_every_span_keeps_its_text_when_another_name_takes_a_place(cuts):
    """A dish by another name moves what stands behind it; a moved span that lies teaches lies."""
    sentence = "红骆驼和白鹤在河边吃饺子喝茶"
    spans = [Span(a, b, "人物") for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    for place in spans:
        changed, moved = renamed(sentence, spans, place, "宫保鸡丁")
        texts = [changed[span.start : span.end] for span in moved]
        told = ["宫保鸡丁" if span == place else sentence[span.start : span.end] for span in spans]
        assert texts == told


def test_dishes_species_and_products_are_exchanged_for_others(material):
    """The base knew no food that stands in few sentences: each list is seen in many."""
    sentence = "王芳把饺子和蛋糕送给了养骆驼的人。"
    spans = named(sentence, [Span(0, 2, "人物")])
    told = [material.exchanged(sentence, spans) for _ in range(60)]
    assert len({text for text, _ in told}) > 30
    for text, moved in told:
        names = {text[span.start : span.end] for span in moved}
        assert len(moved) == 4
        assert "王芳" in names
        left = re.sub("|".join(sorted(map(re.escape, names), key=len, reverse=True)), "", text)
        assert left == "把和送给了养的人。"


def test_the_lists_hold_no_answer_of_the_embedded_test():
    """F1 on foods and living things would tell what was put into a list, not what was learned."""
    answers = {
        entity["name"]
        for record in read_jsonl(EMBEDDED / "ner_test.jsonl")
        for entity in record["entities"]
    }
    for names in LISTED.values():
        assert not answers & set(names)


def test_a_plant_in_a_title_is_no_plant():
    """A title is often made of ordinary words."""
    text = "《红高粱》里种着高粱。"
    kinds = [(text[a:b], kind) for a, b, kind in named(text, [])]
    assert kinds == [("红高粱", "作品"), ("高粱", "生物")]


NAMES_OF = {"作品": ("呐喊", ["作品", "书籍"]), "时间": ("1923年", ["时间", "年份"])}


@given(st.integers(0, 10_000), st.sampled_from(framed_sentences.KINDS))
def test_frames_say_where_each_name_stands(seed, frame):
    """Labels of made sentences are exact, or they teach less than the teacher's do."""
    made = frame(random.Random(seed), lambda kind: NAMES_OF.get(kind, (f"某{kind}", [kind])))
    names = {word for word, _ in NAMES_OF.values()}
    assert made.spans
    assert "{" not in made.text
    for start, end, kind in made.spans:
        name = made.text[start:end]
        assert name == f"某{kind}" or name in names
    for relation in made.relations:
        assert {relation.head[:2], relation.tail[:2]} <= {span[:2] for span in made.spans}


def test_frames_ask_for_types_and_relations_that_there_are():
    """A relation under a name that no question has is never asked for."""
    said = [(kind, other) for ways in framed_sentences.CLAUSES.values() for kind, other, _ in ways]
    said += [(kind, other) for kind, _, other, _ in framed_sentences.BACKWARDS]
    assert {kind for kind, _ in said} <= {row[0] for row in RELATIONS}
    used = {*framed_sentences.CLAUSES, *framed_sentences.TYPES, *(other for _, other in said)}
    assert used <= set(NAMES)


def test_frames_wait_for_names(material):
    """At the start no name was met; a row without names would be asked for in vain."""
    material.of_type.clear()
    assert material.framed(framed_sentences.neutral).text == ""


@pytest.mark.parametrize("kind", list(SHARES))
def test_answers_stand_in_the_text(material, kind):
    """What is learned from silver labels must at least be true to the letter."""
    for _ in range(60):
        dialogue = getattr(material, kind)()
        if kind in ("text", "instructions") or dialogue is None:
            continue
        text = dialogue[0][0]
        for _, answer in dialogue:
            for name in strings_in(answer):
                assert name in text


def strings_in(answer):
    """Return all names of an answer, in whatever shape."""
    try:
        todo, found = [json.loads(answer)], []
    except ValueError:
        return []
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            found.append(value)
        else:
            todo += value.values() if isinstance(value, dict) else value
    return found


@pytest.mark.parametrize(
    ("kind", "task"), [("entities", "NER"), ("relations", "RE"), ("events", "EE")]
)
def test_answers_are_what_the_package_reads(material, kind, task):
    """The base would learn a form that the parser has to repair."""
    answers = [turn[1] for _ in range(80) for turn in getattr(material, kind)() or []]
    answers = [answer for answer in answers if answer.startswith("{")]
    read = [parse(answer, task, schema=list(json.loads(answer))) for answer in answers]
    assert len(read) > 40
    assert all(one.ok and not one.repairs for one in read)


def test_a_type_is_never_asked_beside_its_coarser_one(material):
    """A company would be right as 公司 and wrong as 机构 in the same answer."""
    for _ in range(300):
        kinds = material.asked(list(NAMES)[:20])
        assert 1 <= len(kinds) <= 10
        assert not {COARSER.get(kind) for kind in kinds} & set(kinds)


def test_what_is_asked_is_often_absent(material):
    """A base that always meets what it is asked for answers with names where there are none."""
    present = list(NAMES)[:3]
    asked = [kind for _ in range(300) for kind in material.asked(present)]
    assert 0.4 < sum(kind not in present for kind in asked) / len(asked) < 0.8


def test_the_type_of_a_name_is_one_of_those_listed(material):
    """A right type that is not listed cannot be learned; one called absent must be so."""
    text, span = "鲁迅", Span(0, 2, "人物")
    absent = 0
    for _ in range(200):
        question, told = material.type_of(text, span)
        listed = question.partition("：")[2].removesuffix("？").split("、")
        absent += told == "都不是"
        assert (set(NAMES["人物"]) & set(listed) or {"都不是"}) == {told}
    assert 0 < absent < 100


def test_shares_are_shares():
    """Rows are drawn by weight: a share that is left out would go unnoticed."""
    for column in (0, 1):
        assert sum(pair[column] for pair in SHARES.values()) == pytest.approx(1)


def test_rules_name_types_that_can_be_asked_for():
    """A span of a type without a name is never asked for."""
    for _, _, first, _, second, _ in RELATIONS:
        assert {*first, *second} <= set(NAMES)
    for _, roles in EVENTS.values():
        assert {role[1] for role in roles} <= set(NAMES)


def test_rules_find_what_they_say():
    """One sentence for each kind of rule."""
    text = "董事长马云说：“今天很好。”"
    spans = named(text, [Span(3, 5, "人物")])
    assert {(text[a:b], kind) for a, b, kind in spans} == {
        ("董事长", "职位"),
        ("马云", "人物"),
        ("今天很好。", "引语"),
    }
    assert {(r.kind, text[slice(*r.tail[:2])]) for r in relations(text, spans)} == {
        ("职务", "董事长"),
        ("说的话", "今天很好。"),
    }
    assert list(events("一场地震。", [])) == []


def test_pieces_without_merges_give_the_same_tokens():
    """llama.cpp is given pieces and finds the merges itself: every way to a piece must be known."""
    pairs = pairs_of(["ab", "bc", "abc"], set("abc"))
    assert pairs == [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")]


def test_a_training_goes_on_from_its_state(tokenizer, tmp_path):
    """A killed training that begins anew pays for everything twice; and one that looked for the
    corpus's held-out texts under another name died at its first evaluation."""
    texts = [f"{number}号的{text * 3}"[:40] for number in range(120) for text, _ in SENTENCES]
    write_jsonl(tmp_path / "paragraphs.jsonl", [{"text": text} for text in texts])
    write_jsonl(tmp_path / "held_out.jsonl", [{"text": text} for text in texts[:3]])
    write_jsonl(tmp_path / "labels.jsonl", [record_of(text, [[0, 2, "数量"]]) for text in texts])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    files = [tmp_path / name for name in ("labels.jsonl", "paragraphs.jsonl", "tokenizer", "out")]
    shape = "--minutes 0.02 --layers 1 --width 16 --heads 1 --key-heads 1 --head-size 16 --inner 16"
    options = pretrain.parsed([*map(str, files), *shape.split()])
    files[-1].mkdir()
    first = pretrain.Run(options)
    first.train()
    second = pretrain.Run(options)
    assert second.step == first.step > 0
    weights = first.model.state_dict()
    for name, weight in second.model.state_dict().items():
        assert torch.equal(weight, weights[name])
    second.train()
    steps = [line["step"] for line in read_jsonl(files[-1] / "training.jsonl")]
    assert steps == sorted(steps) and steps[-1] > first.step


@pytest.mark.parametrize("own", [True, False])
def test_a_processor_that_imitates_bfloat16_is_not_asked_to(monkeypatch, own):
    """Seventeen steps took fourteen minutes: every product of bfloat16 was imitated."""
    monkeypatch.setattr(devices, "cpu_computes_bf16", lambda: own)
    with devices.autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if own else torch.float32)


def test_muon_multiplies_in_float32_where_it_is_told_to():
    """Muon asks for bfloat16, which some processors imitate at a twentieth of the speed."""
    gradient = torch.randn(24, 16, generator=torch.Generator().manual_seed(1))
    wanted = gradient.double().T / gradient.double().norm()
    for _ in range(5):
        gram = wanted @ wanted.T
        wanted = 3.4445 * wanted + (-4.7750 * gram + 2.0315 * gram @ gram) @ wanted

    def distance():
        weight = torch.nn.Parameter(torch.zeros(24, 16))
        muon = torch.optim.Muon([weight], lr=1.0, momentum=0.0, weight_decay=0.0, nesterov=False)
        weight.grad = gradient.clone()
        muon.step()
        rate = (24 / 16) ** 0.5  # torch's factor for a matrix higher than wide
        return (weight.detach() / rate + wanted.T).abs().max().item()

    with pretrain.InFloat32():
        assert distance() < 1e-4
    assert distance() > 1e-3


def test_a_log_goes_on_from_the_saved_state(tmp_path):
    """Steps after the last saved state are taken again: the log of a killed run had them twice."""
    lines = [f'{{"step": {step}}}\n' for step in (50, 100, 150)]
    (tmp_path / "training.jsonl").write_text("".join(lines) + '{"step": 2', encoding="utf-8")
    run = SimpleNamespace(out=tmp_path, step=100)
    pretrain.Run.shorten_log(run)
    assert read_jsonl(tmp_path / "training.jsonl") == [{"step": 50}, {"step": 100}]
