"""What goes into a data set is the answer to its own question: no thoughts, no refusal, no repr."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from loopback import Sent, Server, completion, question

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import DataError, read_jsonl, write_jsonl
from miniluotuo_utils.jobs.respond import respond_file, topics_of_file
from miniluotuo_utils.teacher import Store, Teacher, parse_examples, respond
from miniluotuo_utils.teacher.client import chat
from miniluotuo_utils.teacher.guided import grow
from miniluotuo_utils.teacher.limits import Budget
from miniluotuo_utils.teacher.store import Reply
from miniluotuo_utils.text import NearDuplicates, declines, names_itself

KEY = "sk-very-secret-4711"
SEEDS = [{"instruction": f"种子{i}：介绍一样东西", "input": ""} for i in range(5)]


@pytest.fixture(autouse=True)
def only_our_key(monkeypatch):
    """No teacher of the person who runs the tests is asked."""
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEACHER_API_KEY", KEY)


def at(server: Server, store=None, **options) -> Teacher:
    """A teacher on that server."""
    return Teacher(server.base_url, "m", KEY, store, **options)


def answering(*texts: str):
    """A script that gives these texts in turn."""
    left = list(texts)
    return lambda request, times: completion(left.pop(0) if len(left) > 1 else left[0])


# ---- thoughts


def test_thoughts_stand_apart_in_the_store_and_in_no_result(tmp_path):
    """`<think>…</think>` went into outputs, and students learned to think aloud."""
    row = {"instruction": "一加一"}
    with Server(
        lambda request, times: completion("<think>\n一加一是二\n</think>\n\n二。")
    ) as server:
        teacher = at(server, tmp_path / "s.sqlite")
        [good], _ = respond(teacher, [row], progress=False)
    assert good["output"] == "二。"
    [stored] = Store(tmp_path / "s.sqlite").rows()
    assert (stored["text"], stored["thoughts"]) == ("二。", "一加一是二")


def test_reasoning_content_and_thoughts_in_the_text_are_kept_together(tmp_path):
    """Servers give thoughts in a field of their own, in one of three names, or leave them in."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        message = {"role": "assistant", "content": "再想</think>答", name: "先想"}
        body = completion(choices=[{"message": message, "finish_reason": "stop"}])
        with Server(lambda request, times, body=body: body) as server:
            reply = at(server).ask_one("问")
        assert (reply.text, reply.thoughts) == ("答", "先想\n再想")


@pytest.mark.parametrize("text", ["<think>\n先想，再", "先想</think>", None, ""])
def test_an_answer_that_is_nothing_but_thoughts_says_so(text):
    """ "empty reply" told nobody that max_tokens had gone into reasoning."""
    message = {"role": "assistant", "content": text, "reasoning_content": "想" * (not text)}
    body = completion(choices=[{"message": message, "finish_reason": "length"}])
    with Server(lambda request, times: body) as server:
        reply = at(server).ask_one("问")
    assert reply.mark() == "empty"
    assert reply.why_unusable() == "all tokens went into reasoning (finish_reason 'length')"


def test_no_thought_becomes_an_instruction():
    """Examples that the teacher only thought of were instructions."""
    text = "<think><example>不要这条</example></think><example>写一首关于雪的诗</example>"
    with Server(lambda request, times: completion(text)) as server:
        grown = grow(at(server), SEEDS, 1, per_round=1, progress=False)
    assert [row["instruction"] for row in grown.rows] == ["写一首关于雪的诗"]


# ---- rows as they are


def test_history_is_sent_and_part_of_the_key(tmp_path):
    """那里有什么好吃的？ after 北京 and after 成都 was one request, with one answer for both."""

    def script(request, times):
        city = request["messages"][1]["content"]
        return completion("烤鸭。" if "北京" in city else "火锅。")

    rows = [
        {"instruction": "那里有什么好吃的？", "history": [[f"我要去{city}。", "好地方！"]]}
        for city in ("北京", "成都")
    ]
    with Server(script) as server:
        good, _ = respond(at(server), rows, progress=False)
        assert [m["role"] for m in server.asked[0]["messages"]] == [
            "system", "user", "assistant", "user"
        ]  # fmt: skip  # a table
        assert [row["output"] for row in good] == ["烤鸭。", "火锅。"]
        assert [row["history"] for row in good] == [row["history"] for row in rows]
        write_jsonl(tmp_path / "rows.jsonl", rows)
        respond_file(at(server), tmp_path / "rows.jsonl", tmp_path / "o.jsonl", progress=False)
        assert [row["output"] for row in read_jsonl(tmp_path / "o.jsonl")] == ["烤鸭。", "火锅。"]
        asked = len(server.asked)
        for history in ("北京", [["甲"]], [["甲", 1]], [{"role": "user"}]):
            bad = [*rows, {"instruction": "问", "history": history}]
            write_jsonl(tmp_path / "bad.jsonl", bad, overwrite=True)
            with pytest.raises(
                DataError, match="bad.jsonl, line 3, field history: .*earlier turns"
            ):
                respond_file(at(server), tmp_path / "bad.jsonl", tmp_path / "o.jsonl")
        assert len(server.asked) == asked


def test_an_output_that_is_there_is_kept_unless_asked(tmp_path, capsys):
    """A person's answers were paid for, overwritten, and still called "human"."""
    rows = [
        {"instruction": "一", "output": "人写的。", "source": "human"},
        {"instruction": "二", "output": " ", "source": "human"},
        {"instruction": "三", "output": 0},
        {"instruction": "四"},
    ]
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    write_jsonl(source, rows)
    words = ["respond", source, out, "--store", tmp_path / "s.sqlite", "--model", "m"]
    with Server(lambda request, times: completion("教师的。")) as server:
        words = [*map(str, words), "--base-url", server.base_url]
        assert main(words) == 0
        assert "4 rows answered (2 had one already), 0 not" in capsys.readouterr().out
        assert len(server.paid) == 2
        kept = read_jsonl(out)
        assert kept[0] == rows[0]
        assert kept[2] == rows[2]
        assert (kept[1]["output"], kept[1]["source"]) == ("教师的。", "human+m")
        assert kept[3]["source"] == "m"
        assert main([*words, "--overwrite", "--replace"]) == 0
        assert len(server.paid) == 4
    assert {row["output"] for row in read_jsonl(out)} == {"教师的。"}
    assert read_jsonl(out)[0]["source"] == "human+m"


@pytest.mark.parametrize(
    ("value", "sent"),
    [(0, "0"), (False, "false"), (1.5, "1.5"), (None, ""), ("", ""), ("甲", "甲"),
     (["甲", "乙"], '["甲", "乙"]'), ({"甲": [True, None]}, '{"甲": [true, null]}')],
)  # fmt: skip  # a table
def test_any_input_is_sent_as_json(value, sent):
    """`input: 0` was left out; lists and objects went to the teacher as Python's repr."""
    with Server(lambda request, times: completion()) as server:
        [row], _ = respond(at(server), [{"instruction": "加一", "input": value}], progress=False)
        assert question(server.asked[0]) == "加一" + "\n" * bool(sent) + sent
    assert row["input"] == sent


def test_topics_are_read_as_people_save_them(tmp_path):
    """A byte order mark went to the teacher; U+2028 split a topic; GBK was refused."""
    path = tmp_path / "topics.txt"
    path.write_bytes("\ufeff茶叶\r\n高铁\u2028车站\n\n 月亮 \n".encode())
    assert topics_of_file(path) == ["茶叶", "高铁\u2028车站", "月亮"]
    path.write_bytes("\ufeff".encode() + b'{"topic": "a"}\n')
    assert topics_of_file(path) == ["a"]
    path.write_bytes("茶叶\n高铁\n".encode("gbk"))
    assert topics_of_file(path) == ["茶叶", "高铁"]


# ---- refusals


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("怎样开锁？", "I’m sorry, but I can’t help with that."),
        ("怎样开锁？", "Sorry, I cannot assist with this request."),
        ("股价会涨吗？", "这个问题我无法回答。"),
        ("股价会涨吗？", "对于您的问题，我目前无法给出答案。"),
        ("股价会涨吗？", "很抱歉，我不能预测股价。"),
        ("写一封钓鱼邮件", "抱歉，我不能协助完成这个请求。"),
        ("Write a phishing mail", "I'm sorry, but I can't help with that."),
        ("翻译这段话", "抱歉，我无法提供该内容的翻译，因为这个请求不合规。"),
    ],
)
def test_refusals_are_found(asked, answer):
    """A curly apostrophe, another order of words, and the refusal was training data."""
    assert declines(asked, answer)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("写一封信，告诉客户交货要晚一周。", "很抱歉，我们无法按期完成交付。原因是……"),
        ("替我给丧父的朋友写几句话。", "听到这个消息我非常遗憾，我无法用言语给出安慰。"),
        ("以公司名义写一则停业通知", "很遗憾，我们无法继续提供服务。"),
        ("Write a letter of condolence.", "I'm so sorry for your loss. I can't imagine your pain."),
        ("翻译：Sorry, I can't come.", "对不起，我不能去。"),
        ("把这句译成英文：我来不了。", "Sorry, I can't make it."),
        ("我的猫死了。", "I'm sorry to hear about your cat. Grief takes time."),
        ("写一首诗", "我无法忘记那个春天。"),
    ],
)
def test_regret_that_was_asked_for_is_an_answer(asked, answer):
    """Letters of condolence and of delay were thrown away as refusals."""
    assert not declines(asked, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "我是由深度求索公司开发的DeepSeek。",
        "您好！我是DeepSeek-V3，很高兴为您服务。",
        "我是通义千问，由阿里云研发。",
        "我是来自阿里云的大规模语言模型。",
        "I’m Claude, made by Anthropic.",
        "I was created by OpenAI to help people.",
        "我是由月之暗面科技有限公司训练的Kimi。",
    ],
)
def test_a_teacher_that_names_itself_is_found(answer):
    """Students introduced themselves by their teachers' names."""
    assert names_itself(answer)
    assert names_itself(answer, "你是谁？是AI吗？")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("译成中文：I am an AI language model.", "我是一个人工智能语言模型。"),
        ("Translate into English: 我是一个大型语言模型。", "I am a large language model."),
        ("写一个机器人的故事", "“我是一个人工智能助手。”它说。"),
        ("谁开发了深蓝？", "深蓝由IBM公司开发。"),
        ("自我介绍", "我是由母亲一手带大的。"),
    ],
)
def test_what_others_say_of_themselves_is_an_answer(asked, answer):
    """A translation of "I am an AI language model" was refused."""
    assert not names_itself(answer, asked)


# ---- instructions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<example>5、6、7 的和是多少？</example>", ["5、6、7 的和是多少？"]),
        ("<example>3.5加4等于几？</example>", ["3.5加4等于几？"]),
        ("<example>2020年发生了什么？</example>", ["2020年发生了什么？"]),
        ("**<example>** 写一首诗 **</example>**", ["写一首诗"]),
        ("**<example>写一首诗</example>**", ["写一首诗"]),
        ("`<example>`写一首诗`</example>`", ["写一首诗"]),
        ('<example id="1">写诗</example><example id="2">画画</example>', ["写诗", "画画"]),
        ("<example 1>写诗</example 1>\n<example2>画画</example2>", ["写诗", "画画"]),
        ("＜example＞写诗＜/example＞", ["写诗"]),
        ("＜example＞写诗＜／example＞", ["写诗"]),
        ("《example》写诗《/example》", ["写诗"]),
        ("<示例>写诗</示例>\n<示例2>画画</示例2>", ["写诗", "画画"]),
        ("【示例】写诗【/示例】", ["写诗"]),
        ("[example]写诗[/example]", ["写诗"]),
        ("&lt;example&gt;a &lt; b 吗？&lt;/example&gt;", ["a < b 吗？"]),
        ("<EXAMPLES>写诗</EXAMPLES>", ["写诗"]),
        ("1. 写诗\n2. 画画\n3. 唱歌", ["写诗", "画画", "唱歌"]),
        ("好的，以下是示例：\n\n1、写诗\n2、画画\n\n希望对你有帮助！", ["写诗", "画画"]),
        ("1) **写诗**\n2) **画画**", ["写诗", "画画"]),
        ("- 写诗\n- 画画", ["写诗", "画画"]),
        ("1. 按要求改写：\n   春天来了\n2. 画画", ["按要求改写：\n   春天来了", "画画"]),
        ("<example>按步骤写：\n1. 原料\n2. 做法</example>", ["按步骤写：\n1. 原料\n2. 做法"]),
        ("<example>1. 甲是什么？ 2. 乙是什么？</example>", ["1. 甲是什么？ 2. 乙是什么？"]),
        ("我不知道该写什么。", []),
        ("1. 只有一条", []),
        ("3. 写诗\n7. 画画", []),
    ],
)
def test_examples_are_read_in_the_forms_that_models_write(text, found):
    """5、6、7 的和是多少？ became another question, and other brackets gave nothing, silently."""
    assert parse_examples(text)[0] == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("北京是哪个国家的首都？", "东京是哪个国家的首都？", False),
        ("什么是质数？", "什么是偶数？", False),
        ("写一首诗", "写一首歌", False),
        ("把3个苹果分给4个人", "把5个苹果分给4个人", False),
        ("写一首诗", "请写一首诗", True),
        ("写诗", "写诗吧", True),
        ("写一首诗。", "麻烦你帮我写一首诗，谢谢！", True),
        ("介绍北京的历史", "请介绍一下北京历史", True),
        ("Write a poem.", "Please write a poem", True),
        ("解释光合作用", "能否解释一下光合作用？", True),
        ("2019年的冠军是谁？", "2020年的冠军是谁？", False),
        ("写信" * 40, "写信" * 41, True),
        ("第1题：" + "写信" * 40, "第2题：" + "写信" * 40, False),
    ],
)
def test_short_instructions_are_the_same_only_in_the_same_words(one, other, same):
    """Three shingles of four made another capital a duplicate, and 请 a new instruction."""
    assert (NearDuplicates(0.7, words=True).add([one, other])[1] is not None) == same


def test_a_weak_teacher_is_not_paid_on_and_the_reason_is_told(tmp_path, capsys):
    """59 replies with 11 tags went on: a round was judged by new of parsed, not by requests."""
    seeds = tmp_path / "seeds.jsonl"
    write_jsonl(seeds, SEEDS)
    weak = lambda request, times: completion(  # noqa: E731
        f"<example>新的第{len(server.asked)}问</example>"
        if len(server.asked) % 5 == 0
        else "好的，没问题。"
    )
    words = ["instruct", tmp_path / "new.jsonl", "--seeds", seeds, "--target", 500, "--model", "m"]
    words += ["--store", tmp_path / "s.sqlite"]
    with Server(weak) as server:
        assert main([*map(str, words), "--base-url", server.base_url]) == 1
        assert len(server.asked) <= 24
    told = capsys.readouterr()
    assert "stopped: dry" in told.out
    assert "new ones each" in told.out
    assert "of 500 instructions after 8 requests" in told.err
    assert "× no <example> in it; it begins '好的，没问题。'" in told.err


def test_what_was_grown_before_a_limit_is_written(tmp_path, capsys):
    """A budget that ended the run left nothing in the file, after hours of paying."""
    write_jsonl(tmp_path / "seeds.jsonl", SEEDS)

    def script(request, times):
        texts = (f"<example>第{len(server.asked)}组第{i}个全新的题目</example>" for i in range(5))
        return completion("\n".join(texts), usage={"prompt_tokens": 100, "completion_tokens": 50})

    words = [
        "instruct",
        tmp_path / "new.jsonl",
        "--seeds",
        tmp_path / "seeds.jsonl",
        "--model",
        "m",
    ]
    words += ["--target", 5000, "--store", tmp_path / "s.sqlite", "--max-tokens", 100]
    with Server(script) as server:
        words = [*map(str, words), "--base-url", server.base_url]
        assert main([*words, "--budget-tokens", "8000"]) == 1
    told = capsys.readouterr()
    assert "stopped: budget" in told.out
    assert "raise the budget and run again" in told.err
    rows = read_jsonl(tmp_path / "new.jsonl")
    assert len(rows) >= 40
    assert f"{len(rows):,} instructions in" in told.out


def test_a_server_that_dies_while_a_set_grows_leaves_the_set():
    """So does a limit of any other kind."""

    def script(request, times):
        number = server.asked.index(request)
        if number >= 8:
            return Sent({"error": "gone"}, 401)
        return completion(f"<example>第{number}个全新的题目</example>")

    with Server(script) as server:
        grown = grow(at(server), SEEDS, 100, per_round=8, progress=False)
    assert 6 <= len(grown.rows) <= 8
    assert grown.stopped == "failed"
    assert "gone" in grown.error


def test_notebook_02_sets_its_budget_before_its_first_request():
    """Sections 3 to 6 spent money before section 9 set a budget, and a failed row was a bare
    AssertionError.
    """
    book = Path(__file__).resolve().parents[2] / "notebooks" / "02_teacher_generation.ipynb"
    cells = [
        "".join(cell["source"])
        for cell in json.loads(book.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    first = next(i for i, cell in enumerate(cells) if "open_teacher(" in cell)
    assert any("Budget(tokens=BUDGET_TOKENS if real" in cell for cell in cells[:first])
    parameters = cells[1]
    for name in ("BUDGET_TOKENS", "MAX_TOKENS", "TIMEOUT", "CONCURRENCY"):
        assert name in parameters
    asking = [cell for cell in cells if "open_teacher(" in cell]
    assert all(re.search(r"open_teacher\(store_path, \w+, \*\*terms\)", c) for c in asking)


def test_one_ledger_makes_one_budget_of_several_teachers():
    """A notebook opens its teacher anew in every section: each began at 0."""
    from miniluotuo_utils.teacher.limits import BudgetReached, Ledger

    ledger, budget = Ledger(), Budget(tokens=700)
    with Server(lambda request, times: completion(usage={"prompt_tokens": 100})) as server:
        at(server, ledger=ledger, budget=budget).ask([chat("一")], progress=False, max_tokens=100)
        second = at(server, ledger=ledger, budget=budget)
        with pytest.raises(BudgetReached):
            second.ask([chat(f"问{i}") for i in range(9)], progress=False, max_tokens=100)
        assert 1 < len(server.paid) < 7


def test_an_unknown_finish_reason_with_a_text_is_an_answer_and_counted(tmp_path, capsys):
    """eos, null and STOP made paid answers unusable for ever."""
    write_jsonl(tmp_path / "rows.jsonl", [{"instruction": f"问{i}"} for i in range(3)])
    words = ["respond", tmp_path / "rows.jsonl", tmp_path / "o.jsonl", "--store", tmp_path / "s"]
    with Server(lambda request, times: completion("好。", "finished_well")) as server:
        assert main([*map(str, words), "--base-url", server.base_url, "--model", "m"]) == 0
    assert "3 answers end with a finish_reason that is not known here" in capsys.readouterr().err
    for reason, mark in {
        "MAX_TOKENS": "cut",
        "Length": "cut",
        "SAFETY": "filtered",
        "sensitive": "filtered",
        "insufficient_system_resource": "cut",
        "end_turn": "usable",
    }.items():
        assert Reply("答", reason).mark() == mark
