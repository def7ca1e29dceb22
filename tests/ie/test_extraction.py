"""Extraction: no way out of a grammar, the end of the JSON, long texts, shared prompts."""

import json

import pytest
from examples import BOOK, EXAMPLES, LIBAI, SPACE, ner
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_random import tiny_random
from vocabularies import bytewise, student_of, unigram, wordpiece

from miniluotuo_utils.generation import generate
from miniluotuo_utils.generation.constrained import grammars, json_ends
from miniluotuo_utils.generation.engine import shared_start
from miniluotuo_utils.ie import build_instructions, extract, micro, schema_of, score
from miniluotuo_utils.ie.constraints import grammar
from miniluotuo_utils.ie.extraction import guessed
from miniluotuo_utils.ie.spans import locate
from miniluotuo_utils.ie.windows import sentence_places, whole, windows
from miniluotuo_utils.prompts import row_prompt
from miniluotuo_utils.records import check_record
from miniluotuo_utils.students import load_student

EMPTY = {
    "answers": 1,
    "unparsable": 0,
    "repaired": 0,
    "not_in_text": 0,
    "off_schema": 0,
    "ambiguous": 0,
    "cut": 0,
    "looped": 0,
    "respelt": 0,
}


def test_extraction_asks_with_the_bytes_of_training():
    """Luotuo's demo answered badly because its prompt was not the one of its training."""
    asked = []

    def fake(student, prompts, max_new_tokens, batch_size, stop_at_json):
        asked.append((student, prompts, max_new_tokens, batch_size, stop_at_json))
        return ['{"人物":["李白","苏轼"],"书":["长安"]}', "……", '{"地点":["长安",']

    sentences = [LIBAI["sentence"], "下雨了", "长安"]
    made = extract(
        "学生", sentences, ["人物", "地点"], "NER", batch_size=2, max_new_tokens=9, generate=fake
    )
    rows = build_instructions(
        [LIBAI, ner("下雨了"), ner("长安")], "NER", ["人物", "地点"], paraphrases=False
    )
    assert asked == [("学生", [row_prompt(row) for row in rows], 9, 2, True)]
    assert made.counts == {
        "answers": 3,
        "unparsable": 1,
        "repaired": 1,
        "not_in_text": 1,
        "off_schema": 1,
        "ambiguous": 1,
        "cut": 0,
        "looped": 0,
        "respelt": 0,
    }
    assert made.unread == [1]
    assert made.ambiguous == [["李白"], [], []]
    assert [len(check_record(r)["entities"]) for r in made.records] == [3, 0, 1]
    assert len(made.answers) == 3
    result = score(
        [LIBAI, ner("下雨了"), ner("长安")], made.records, "NER", schema=["人物", "地点"]
    )
    assert (result["off_schema"], result["not_in_text"], result["micro"]["tp"]) == (1, 1, 1)


def test_a_perfect_student_of_each_task_scores_one_by_string():
    """The whole way round: prompt, answer, parse, locate, score."""
    for task, record in EXAMPLES.items():
        schema = schema_of([record], task)
        answer = build_instructions([record], task, schema, paraphrases=False)[0]["output"]
        made = extract(
            None, [record["sentence"]], schema, task, generate=lambda *_, text=answer, **__: [text]
        )
        assert all(m["f1"] == 1.0 for _, m in micro(score([record], made.records, task, "string")))
        assert made.counts | {"ambiguous": 0} == EMPTY


def test_what_cannot_be_is_said_before_a_student_is_asked():
    """A misspelt policy was found after hours of answers; a lost answer was zip()'s words."""
    asked = []

    def silent(student, prompts, **_):
        asked.append(prompts)
        return []

    for words, wrong in (
        ("policy is 'frist'", {"policy": "frist"}),
        ("descriptions: found", {"descriptions": ["人的名字"]}),
        ("sentences: found None", {"sentences": None}),
    ):
        given = {"sentences": ["李白"], **wrong}
        with pytest.raises(ValueError, match=words):
            extract(None, schema=["人物"], task="NER", generate=silent, **given)
    assert asked == []
    with pytest.raises(ValueError, match="0 answers to 1 prompts"):
        extract(None, ["李白"], ["人物"], "NER", generate=silent)


@pytest.mark.parametrize("style", ["json", "yayi", "instructuie", "plain"])
def test_slices_and_styles_come_together_in_one_record(style):
    """A schema of nine types is asked for in two prompts;
    each answer alone would be half of the record.
    """
    record = ner("李白在长安吃面", ("李白", "甲", 0), ("长安", "乙", 3), ("面", "壬", 6))
    schema = list("甲乙丙丁戊己庚辛壬")
    rows = build_instructions([record], "NER", schema, paraphrases=False, style=style)
    made = extract(
        None,
        [record["sentence"]],
        schema,
        "NER",
        style=style,
        generate=lambda *_, **__: [row["output"] for row in rows],
    )
    assert len(made.answers) == 2
    assert made.records[0]["entities"] == record["entities"]


def test_one_sentence_instead_of_a_list_is_refused():
    """A text is a sequence too: the student would be asked about each of its letters."""
    with pytest.raises(ValueError, match="expected a list of texts"):
        extract(None, "李白走了", ["人物"], "NER", generate=lambda *_, **__: [])
    with pytest.raises(
        ValueError,
        match="constrained is for style json and the student itself; found style 'plain'",
    ):
        extract(None, ["李白走了"], ["人物"], "NER", style="plain", constrained=True)


# ---- grammars


def accepts(tokenizer, text, answer):
    """Whether a vocabulary can write `answer` within the grammar `text`, as its own encoding of it
    does.
    """
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    guide = grammars(tokenizer, [tokenizer.eos_token_id], len(tokenizer), [text])[0]
    for place, token in enumerate([*ids, tokenizer.eos_token_id]):
        allowed = guide.allowed(ids[:place])
        if allowed is None or not allowed[token]:
            return False
    return guide.text([*ids, tokenizer.eos_token_id]) == answer


def holds(text, answer):
    """Whether an answer, whole or cut off, is what a grammar allows, read byte by byte by a
    matcher of its own.
    """
    from llguidance import LLMatcher, LLTokenizer

    matcher = LLMatcher(LLTokenizer("byte"), text)
    return matcher.validate_tokens(list(answer.encode())) == len(answer.encode())


def is_json(answer):
    """Whether an answer is complete."""
    try:
        json.loads(answer)
    except ValueError:
        return False
    return True


CASES = {
    "NER": (
        '他说"走"，\\李白😀',
        ["人物", "地点"],
        {
            '{"人物":["李白😀"]}': True,
            "{}": True,
            '{"人物":["他说\\"走\\""],"地点":["\\\\李","走"]}': True,
            '{"地点":["他"],"人物":["他"]}': False,
            '{"人物":["他"],"人物":["他"]}': False,
            '{"人物":[]}': False,
            '{"人物":[""]}': False,
            '{"人物":["杜甫"]}': False,
            '{"人物":["李白"]': False,
            '{"书":["李白"]}': False,
            '{"人物":["李白"]}好': False,
            '{"人物":["\\"]}': False,
        },
    ),
    "RE": (
        "红楼梦是曹雪芹写的",
        ["作者"],
        {
            '{"作者":[["红楼梦","曹雪芹"]]}': True,
            '{"作者":[["红楼梦","曹雪芹"],["红","的"]]}': True,
            '{"作者":["红楼梦","曹雪芹"]}': False,
            '{"作者":[["红楼梦"]]}': False,
            '{"作者":[["红楼梦","作者"]]}': False,
        },
    ),
    "EE": (
        "神舟五号升空",
        ["发射", "会议"],
        {
            '{"发射":[{"trigger":"升空","arguments":{"航天器":["神舟五号"]}}]}': True,
            '{"会议":[{"trigger":"升空","arguments":{}}]}': True,
            '{"发射":[{"trigger":"升空","arguments":{"地点":["升"],"航天器":["神舟"]}}]}': False,
            '{"发射":[{"trigger":"升空"}]}': False,
            '{"会议":[{"trigger":"升空","arguments":{"航天器":["神舟五号"]}}]}': False,
        },
    ),
}
ROLES = {"发射": ["航天器", "地点"], "会议": []}


@pytest.mark.parametrize("kind", [bytewise, unigram])
@pytest.mark.parametrize("task", CASES)
def test_a_grammar_knows_right_from_wrong(kind, task):
    """One forgotten escape, and a text with a quotation mark makes JSON that nobody can read."""
    text, types, answers = CASES[task]
    rules = grammar(text, types, task, ROLES)
    tokenizer = (
        kind((text, *answers, *types)) if kind is bytewise else tiny_random("t5-61m").tokenizer
    )  # byte tokens too
    assert {answer: accepts(tokenizer, rules, answer) for answer in answers} == answers


@pytest.mark.parametrize(
    ("name", "good"),
    [("2020年11月", True), ("11月", True), ("3.5", True), ("3.5亿", True), ("A4纸", True)]
    + [("1月", False), ("20年", False), ("3", False), ("5亿", False), ("020年", False)],
)
def test_a_grammar_never_cuts_a_number(name, good):
    """Such a name has no place in its text: under the grammar it was counted as made up."""
    text = "2020年11月花3.5亿买A4纸"
    rules = grammar(text, ["类"], "NER")
    assert (
        holds(rules, json.dumps({"类": [name]}, ensure_ascii=False, separators=(",", ":"))) == good
    )
    assert bool(locate(text, [name])[0]) == good


def test_a_grammar_works_for_wordpiece_and_says_what_does_not():
    """llguidance knows no WordPiece; a slow tokenizer does not say which bytes a token is."""
    tokenizer = wordpiece()
    rules = grammar("骆驼走到walks", ["京"], "NER")
    assert accepts(tokenizer, rules, '{"京":["骆","walks"]}')
    assert not accepts(tokenizer, rules, '{"京":["北"]}')
    with pytest.raises(ValueError, match="is no fast tokenizer"):
        grammars(type("Slow", (), {"is_fast": False, "all_special_ids": []})(), [0], 5, [rules])
    with pytest.raises(ValueError, match="llguidance does not read the grammar"):
        grammars(tokenizer, [2], len(tokenizer), ["start: nothing"])


@pytest.mark.parametrize("task", EXAMPLES)
@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5"])
def test_a_random_student_in_a_grammar_says_nothing_that_cannot_be_right(kind, task):
    """Unparsable answers, names that are not in the text and types that nobody asked for are zero,
    whatever the weights.
    """
    student = student_of(kind)
    student.model.config.max_position_embeddings = 512
    if kind != "t5":
        student = tiny_random("wenzhong-110m" if kind == "gpt2" else "qwen2.5-0.5b")
    texts = [EXAMPLES[task]["sentence"], "下雨了", '他说"走\\"，a b']
    schema = schema_of([EXAMPLES[task]], task)
    made = extract(student, texts, schema, task, constrained=True, max_new_tokens=40)
    assert made.counts | {"answers": 1, "ambiguous": 0, "cut": 0} == EMPTY
    assert all(map(check_record, made.records))
    complete = [answer for answer in made.answers if is_json(answer)]
    assert len(complete) == len(texts) - made.counts["cut"]
    assert all(
        holds(grammar(text, list(schema), task, schema if task == "EE" else None), answer)
        for text, answer in zip(texts, made.answers, strict=True)
    )


def test_a_loop_that_was_ended_is_not_read_on(tiny, capfd):
    """`byte 'ÿ' fails parse`, said the grammar in the middle of a notebook: the end that a loop was
    given stands in no grammar."""
    words = tiny.tokenizer
    rules = 'start: names "}"\nnames: "李" names | "李"'  # no end is allowed before the bracket
    [held] = grammars(words, [words.eos_token_id], len(words), [rules])
    [said] = words("李", add_special_tokens=False)["input_ids"]
    for ended in ([said] * 24, [said] * 24 + [words.eos_token_id]):
        assert held.allowed(ended).nonzero()[0].tolist() == [words.eos_token_id]
    assert "fails parse" not in capfd.readouterr().err


def test_a_constrained_answer_is_the_same_alone_and_in_a_batch():
    """A guide keeps its place in its own answer while other rows of the batch end;
    one step off and it forbids the right token.
    """
    student = load_student("tiny")
    texts = [LIBAI["sentence"], "下雨了", BOOK["sentence"], SPACE["sentence"], "王维住在蓝田。"] * 2
    together = extract(student, texts, ["人物", "地点"], "NER", constrained=True).answers
    assert together == [
        extract(student, [text], ["人物", "地点"], "NER", constrained=True).answers[0]
        for text in texts
    ]


def test_a_cut_constrained_answer_keeps_its_complete_items(monkeypatch):
    """Forty tokens end inside a name: half of it is not what the student wanted to say."""
    answers = ['{"人物":["李白","杜', '{"人物":["杜', '{"地点":["长安"]}']
    monkeypatch.setattr("miniluotuo_utils.generation.generate", lambda *_, **__: answers)
    texts = ["李白和杜甫", "杜甫", "长安"]
    made = extract(None, texts, ["人物", "地点"], "NER", window=20, constrained=True)
    names = [[e["name"] for e in record["entities"]] for record in made.records]
    assert names == [["李白"], [], ["长安"]]
    assert made.counts == EMPTY | {"answers": 3, "cut": 2}
    assert made.unread == []
    assert made.answers == answers


def test_a_free_answer_that_was_cut_is_repaired_or_unparsable(monkeypatch):
    """Counted as cut, a student without a grammar would seem never to write broken JSON."""
    answers = ['{"人物":["李白","杜', '{"人物":["杜']
    monkeypatch.setattr("miniluotuo_utils.generation.generate", lambda *_, **__: answers)
    made = extract(None, ["李白和杜甫", "杜甫"], ["人物", "地点"], "NER", window=20)
    assert made.counts == EMPTY | {"answers": 2, "repaired": 1, "unparsable": 1}
    assert made.unread == [1]


def test_one_grammar_per_prompt():
    """A text is a sequence too, and one grammar too few would guide the wrong prompt."""
    student = load_student("tiny")
    with pytest.raises(ValueError, match="grammar is 1 texts; expected 2 texts, one per prompt"):
        generate(student, ["甲", "乙"], grammar=["start: /a/"])
    with pytest.raises(ValueError, match="grammar is a text"):
        generate(student, ["甲"], grammar="start: /a/")
    assert generate(
        student, ["甲", "乙"], grammar=['start: "好的"', 'start: "不行"'], max_new_tokens=8
    ) == ["好的", "不行"]


# ---- the end of the JSON


@pytest.mark.parametrize(
    "text, end",
    [
        ('{"a":["b"]} 还有', '{"a":["b"]}'),
        (' [["a","}"],[]]]', ' [["a","}"],[]]'),
        ('例如 {"a":[]}，答案是 {"b":[]}', None),
        ('<think>{"a":[]}</think>', None),
        ('{"a\\"}":"\\\\"}x', '{"a\\"}":"\\\\"}'),
        ('{"a":["b"', None),
        ("没有", None),
        ('1] [实体]如下：{"a":[]}x', None),
        ("[]x", None),
        ('{"say \\n \\"hi\\"": []}]', '{"say \\n \\"hi\\"": []}'),
    ],
)
def test_an_answer_ends_where_its_json_is_closed(text, end):
    """A bracket inside a name closes nothing, a quote behind a backslash ends nothing."""
    tokenizer = bytewise()
    ids = tokenizer(text)["input_ids"]
    guide = json_ends(tokenizer, [0], len(tokenizer), 1)[0]
    stops = [place for place in range(len(ids) + 1) if guide.allowed(ids[:place]) is not None]
    assert (tokenizer.decode(ids[: stops[0]]) if stops else None) == end
    assert not stops or guide.allowed(ids).nonzero()[0].tolist() == [0]


class Both:
    """A grammar that goes on, and the end of the JSON: only the second can end the answer early."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def allowed(self, answer):
        end = self.second.allowed(answer)
        return self.first.allowed(answer) if end is None else end

    def text(self, answer):
        return None


def test_generation_stops_at_the_end_of_the_json(monkeypatch):
    """A student that goes on after its answer costs time up to max_new_tokens, and its
    afterthoughts confuse the reader.
    """
    student = load_student("tiny")
    endless = ['start: "{}" /[a-z]{20}/', 'start: "{\\"a\\":[]}" /[a-z]{20}/']
    from miniluotuo_utils.generation import answers as generation

    def both(student, count, _, stop):
        grams, ends = (
            constraints_of(student, count, endless[:count], False),
            constraints_of(student, count, None, True),
        )
        return [Both(a, b) for a, b in zip(grams, ends, strict=True)] if stop else grams

    constraints_of = generation.constraints_of
    monkeypatch.setattr(generation, "constraints_of", both)
    free, stopped = (
        generate(student, ["甲", "乙"], max_new_tokens=40, stop_at_json=stop)
        for stop in (False, True)
    )
    assert [len(text) for text in free] == [22, 28]
    assert stopped == ["{}", '{"a":[]}']


# ---- shared prompts


@pytest.mark.parametrize("kind", ["gpt2", "llama", "glm", "bloom", "t5", "gpt-neo-125m"])
@pytest.mark.parametrize("preset", ["extract", "creative"])
def test_what_prompts_share_goes_through_once_and_changes_nothing(kind, preset):
    """Padding stands behind the shared tokens: positions counted over it would shift every shorter
    prompt.
    """
    student = (
        tiny_random(kind) if "-" in kind else student_of(kind)
    )  # GPT-Neo's local layers count places, not positions
    prompts = [
        "骆驼从北京走到张家口。" + rest
        for rest in ("", "你好", "The camel walks home", "一二三四五六七八九十")
    ]
    ids = [student.tokenizer(text)["input_ids"] for text in prompts]
    assert shared_start([row for row in ids if row]) >= 8
    assert generate(student, prompts, preset, 12, seed=3) == [
        generate(student, [p], preset, 12, seed=3)[0] for p in prompts
    ]


# ---- long texts


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="一二三四五。！\n”", max_size=80), st.integers(1, 20), st.data())
def test_windows_cover_the_text_in_order(text, size, data):
    """A character in no window is never read; a window that does not move on is an endless loop."""
    overlap = data.draw(st.integers(0, size - 1))
    found = windows(text, size, overlap)
    assert {place for a, b in found for place in range(a, b)} == set(range(len(text)))
    assert all(b - a <= size for a, b in found)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(found, found[1:], strict=False))
    ends = {end for _, end in sentence_places(text)}
    longest = max((b - a for a, b in sentence_places(text)), default=0)
    assert longest > size or all(end in ends for _, end in found)


def test_what_two_windows_find_is_there_once_and_at_its_place():
    """The second 黄州 is another mention; the one in the shared sentence is not."""
    text = "苏轼到了黄州。他住在黄州。后来离开。"
    pieces = windows(text, 13, 6)
    assert pieces == [(0, 13), (7, 18)]
    records = [
        ner(text[:13], ("黄州", "地点", 4), ("黄州", "地点", 10)),
        ner(text[7:], ("黄州", "地点", 3), ("杭州", "地点", None)),
    ]
    made = check_record(whole(text, pieces, records, "NER"))
    assert [e["pos"] for e in made["entities"]] == [[4, 6], [10, 12], None]
    first, second = (
        {**SPACE, "events": SPACE["events"][:1]},
        {**SPACE, "events": [{**SPACE["events"][0], "arguments": SPACE["events"][1]["arguments"]}]},
    )
    joined = whole(SPACE["sentence"], [(0, 17), (0, 17)], [first, second], "EE")["events"]
    assert len(joined) == 1
    assert [a["name"] for a in joined[0]["arguments"]] == ["神舟五号", "长征"]
    placed, unplaced = (
        {"events": [{"type": "住", "trigger": "住", "pos": pos, "arguments": []}]}
        for pos in ([1, 2], None)
    )
    assert whole("静夜思是李白写的。他住在长安。", [(0, 9), (9, 15)], [unplaced, placed], "EE")[
        "events"
    ][0]["pos"] == [10, 11]
    assert (
        len(
            whole("静夜思是李白写的。他住在长安。", [(0, 9), (9, 15)], [unplaced, placed], "EE")[
                "events"
            ]
        )
        == 1
    )
    moved = whole("一" + BOOK["sentence"], [(1, 16)], [BOOK], "RE")["relations"]
    assert moved[0]["head"]["pos"] == [p + 1 for p in BOOK["relations"][0]["head"]["pos"]]


def test_a_name_that_a_cut_runs_through_gives_way_to_the_whole_one():
    """Cut hard, "北京大学" leaves "北京" in one piece and stands whole in the next."""
    text = "他在北京大学读书"
    made = whole(
        text,
        [(0, 4), (2, 8)],
        [ner(text[:4], ("北京", "机构", 2)), ner(text[2:], ("北京大学", "机构", 0))],
        "NER",
    )
    assert [e["name"] for e in made["entities"]] == ["北京大学"]


def test_a_document_longer_than_the_context_is_read_to_its_end():
    """Notices of many pages would otherwise end in an error, or be cut without a word."""
    student = load_student("tiny")
    text = "李白住在长安。天气很好，大家都在街上走。" * 60 + "杜甫住在成都。"
    made = extract(student, [text, "苏轼在黄州。"], ["人物", "地点"], "NER", max_new_tokens=40)
    assert len(text) > student.context
    assert len(made.records) == 2
    assert made.records[0]["sentence"] == text
    assert {row["text"] for row in made.rows} == {0, 1}
    assert made.rows[-2]["input"].endswith("杜甫住在成都。")
    answer = {"杜甫": '{"人物":["杜甫"],"地点":["成都"]}'}
    found = extract(
        None,
        [text],
        ["人物", "地点"],
        "NER",
        window=100,
        generate=lambda _, prompts, **__: [
            answer.get("杜甫" * ("杜甫" in p), "{}") for p in prompts
        ],
    )
    assert [e["pos"][0] for e in check_record(found.records[0])["entities"]] == [1200, 1204]
    by_characters = extract(student, [text], ["人物", "地点"], "NER", window=100, max_new_tokens=20)
    assert len(by_characters.answers) == len(windows(text, 100, 30))
    uneven = (
        "李白住在长安。" * 100 + "龘䶮靐齉𠀀😀" * 40 + "。"
    )  # an average of tokens per character once let its end overflow
    assert (
        "".join(
            row["input"]
            for row in extract(student, [uneven], ["人物"], "NER", max_new_tokens=8, overlap=0).rows
        )
        == uneven
    )
    with pytest.raises(ValueError, match="which leaves .* for the text: take a smaller slice_size"):
        extract(
            student,
            [text],
            [f"第{number}类长长的名字" for number in range(100)],
            "NER",
            slice_size=None,
        )
    # Text and prompt leave room for a shorter answer than the longest: no reason to cut.
    fits = "李白住在长安。" * ((student.context - 230) // 7)
    assert len(extract(student, [fits], ["人物", "地点"], "NER", max_new_tokens=256).answers) == 1


def test_a_name_whose_place_is_a_guess_is_marked():
    """黄州 stands twice and the answer names it once: which of the two is not known."""
    assert guessed(ner("黄州和黄州", ("黄州", "地点", 0))) == ["黄州"]
    assert guessed(ner("黄州和黄州", ("黄州", "地点", 0), ("黄州", "地点", 3))) == []
