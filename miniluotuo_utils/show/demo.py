"""Open a page in the browser: talk to a student, extract with colours, compare two students.

In: students. Out: a Gradio page on this machine. Used by `serve --page`; shown in notebook 07.

Everything that a visitor types is shown as text. Nothing leaves the machine: no tunnel, no
telemetry, no fonts of others; on Colab alone it goes through Google's port proxy. There is no
password: whoever is logged in to the same machine can open the page, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape, unescape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.generation.presets import PRESETS
from miniluotuo_utils.show.page import html
from miniluotuo_utils.show.talk import MOST, answer_of, extracted, record_page

if TYPE_CHECKING:
    import gradio
    from starlette.types import ASGIApp, Receive, Scope, Send

    from miniluotuo_utils.students import Student

WAITING = 200  # questions in the queue; one more is told to come back
QUESTIONS = ("你好，你是谁？", "用一句话介绍杭州。", "把“骆驼”译成英文。")
TASKS = {"实体 entities": "NER", "关系 relations": "RE", "事件 events": "EE"}
EXAMPLES = [
    ["苏轼在黄州写下《赤壁赋》。", "实体 entities", "人物，地点，作品"],
    ["1898年，京师大学堂在北京成立。", "实体 entities", "地点，机构，时间"],
    ["《老残游记》是刘鹗写的。", "关系 relations", "作者"],
    ["2020年，英伟达收购了迈络思。", "事件 events", "收购：收购方、被收购方"],
]
# A mistake of a visitor is no news for the log. Gradio shows an error as HTML: it is escaped.
MISTAKE = {"title": "请改一下 Please change this", "print_exception": False}
# Gradio's own doors for files: it lends what its other pages left in the folder of temporary files,
# writes files for anybody, and fetches any address that a visitor names.
FILES = re.compile("/gradio_api/(file|proxy=|upload|process_recording|deep_link)")
LARGEST = 4 << 20  # bytes of a request
TURNS = 50  # of a talk, the last ones; a browser may send any number of any length
OPEN: list[gradio.Blocks] = []  # the page that a notebook shows
TITLE = "# 迷你骆驼 · Mini-Luotuo"


def page(students: Mapping[str, Student]) -> gradio.Blocks:
    """Return a page for one or two students, by the names that it shows: chat, extraction, and two
    side by side.

    On each tab one question is answered at a time, others wait in a queue. Open it with `opened`.
    """
    import gradio as gr

    name, student = next(iter(students.items()))
    with gr.Blocks(title="迷你骆驼 Mini-Luotuo", analytics_enabled=False) as made:
        gr.Markdown(TITLE)
        with gr.Tab("对话 chat"):
            chat_tab(name, student)
        with gr.Tab("抽取 extraction"):
            extraction_tab(student)
        if len(students) > 1:
            with gr.Tab("比一比 side by side"):
                both_tab(students)
    made.queue(max_size=WAITING, default_concurrency_limit=1)
    return made


def chat_tab(name: str, student: Student) -> None:
    """Add the chat: history, a preset, an answer that grows."""
    import gradio as gr

    def respond(question: str, history: list[dict], preset: str) -> Iterator[str]:
        pieces = answer_of(student, question, turns_of(history), preset)
        yield from told(gr.Error, pieces)

    gr.ChatInterface(
        respond,
        chatbot=as_text(
            gr.Chatbot(label=name, render_markdown=False, height=420, buttons=["copy"])
        ),
        textbox=gr.Textbox(
            placeholder="问点什么…… ask something",
            show_label=False,
            submit_btn="问 ask",
            stop_btn="停 stop",
            elem_id="question",
        ),
        additional_inputs=[
            gr.Dropdown(list(PRESETS), value="chat", label="预设 preset", render=False)
        ],
        additional_inputs_accordion="设置 settings",
        examples=[[question] for question in QUESTIONS],
        cache_examples=False,
        flagging_mode="never",
        analytics_enabled=False,
        api_name="chat",
    )


def as_text(shown: gradio.Chatbot) -> gradio.Chatbot:
    """Make Gradio's Chatbot show texts as they are, and return it.

    Gradio's own shows tags as what they stand for, without Markdown too: `<b>` was bold, and an
    address in `<img>` was looked up from the browser of every visitor. (A class of our own would do
    as well, but Gradio writes a file beside every module that has one.)
    """
    out, back = shown.postprocess, shown.preprocess
    # Quotes stay: who copies an answer of JSON wants JSON.
    shown.postprocess = lambda value: each_text(out(value), partial(escape, quote=False))
    shown.preprocess = lambda value: back(each_text(value, unescape))
    return shown


def each_text(messages: Any, change: Callable[[str], str]) -> Any:
    """Return Gradio's messages, every text in them changed."""
    for message in getattr(messages, "root", None) or ():
        for part in message.content:
            if hasattr(part, "text"):
                part.text = change(part.text)
    return messages


def turns_of(history: Sequence[Mapping]) -> list[list[str]]:
    """Return Gradio's messages as `[[user, assistant], …]`, the last of them, none longer than a
    question may be; a question without an answer is left out.

    >>> talk = [("user", "长长长"), ("user", "在吗"), ("assistant", "在。")]
    >>> turns_of([{"role": role, "content": text} for role, text in talk])
    [['在吗', '在。']]
    """
    turns = [
        [text_of(asked["content"])[:MOST], text_of(answer["content"])[:MOST]]
        for asked, answer in pairwise(history)
        if (asked["role"], answer["role"]) == ("user", "assistant")
    ]
    return turns[-TURNS:]


def text_of(content: Any) -> str:
    """Return the text of a message, which Gradio hands over whole or in parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))


def told(error: Callable[..., Exception], pieces: Iterator[str]) -> Iterator[str]:
    """Yield pieces; what is wrong with the question becomes the page's own error."""
    try:
        yield from pieces
    except ValueError as wrong:
        raise error(escape(str(wrong)), **MISTAKE) from None


def extraction_tab(student: Student) -> None:
    """Add the extraction: a text, a task, its types; the text comes back in colours."""
    import gradio as gr

    def extract_page(text: str, task: str, types: str) -> str:
        try:
            record = extracted(student, text, types, TASKS[task])
        except ValueError as wrong:
            raise gr.Error(escape(str(wrong)), **MISTAKE) from None
        return html(record_page(record)).data

    # What can be asked, the press of a button, what comes back.
    text = gr.Textbox(label=f"文字（最多 {MOST:,} 字） text", lines=5, elem_id="text")
    with gr.Row():
        task = gr.Dropdown(list(TASKS), value=next(iter(TASKS)), label="任务 task")
        types = gr.Textbox(
            label="类型，用逗号分开；事件一行一种：收购：收购方、被收购方 types",
            value="人物，地点，机构，时间",
            elem_id="types",
            lines=2,
            max_lines=6,
            scale=3,
        )
    press = gr.Button("抽取 extract", variant="primary", elem_id="extract")
    out = gr.HTML(elem_id="found")
    press.click(extract_page, [text, task, types], out, api_name="extract")
    gr.Examples(EXAMPLES, [text, task, types], label="例子 examples", cache_examples=False)


def both_tab(students: Mapping[str, Student]) -> None:
    """Add the comparison: one question, the answers of two students beside each other."""
    import gradio as gr

    # The second waits for the first: both at once would only make each slower.
    (one, first), (other, second), *_ = students.items()

    def both(question: str) -> Iterator[tuple[str, str]]:
        answers = ["", ""]
        for place, student in enumerate((first, second)):
            for text in told(gr.Error, answer_of(student, question)):
                answers[place] = text
                yield tuple(answers)

    # What is asked, and a place for each answer.
    question = gr.Textbox(label="问题 question", elem_id="both-question")
    press = gr.Button("问两个 ask both", variant="primary", elem_id="both-ask")
    with gr.Row():
        left = gr.Textbox(label=one, lines=6, interactive=False, elem_id="left")
        right = gr.Textbox(label=other, lines=6, interactive=False, elem_id="right")
    gr.on([press.click, question.submit], both, question, [left, right], api_name="both")
    asked = [[text] for text in QUESTIONS]
    gr.Examples(asked, question, label="例子 examples", cache_examples=False)


def opened(
    made: gradio.Blocks,
    host: str = "127.0.0.1",
    port: int | None = None,
    hosts: Sequence[str] = ("*",),
) -> str:
    """Open a page and return its address; `made.close()` ends it.

    A notebook shows it below the cell, on Colab through Colab's own port proxy. `hosts` are the
    names by which it may be called, `*` is any: a proxy has a name of its own. Raises ValueError
    where the port is in use.
    """
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.body_limit import RequestBodyLimitMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # Gradio asks itself once whether it is there: a proxy would answer that it is not.
    past = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if "127.0.0.1" not in past:
        os.environ["no_proxy"] = f"{past},127.0.0.1,localhost"

    # Fonts of the system: Google's are looked for on the network, and not had in every country.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
        Middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST),
        Middleware(without_files),
    ]
    try:
        _, address, _ = made.launch(
            server_name=host,
            server_port=port,
            share=False,
            theme=theme,
            # Said outright: what is left out comes from the environment.
            blocked_paths=[Path.cwd().anchor],
            mcp_server=False,
            app_kwargs={"middleware": guards},
            max_file_size=1,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            # Where nobody looks it is closed at once, and its frame would stay behind, dead.
            inline=False if os.environ.get("MINILUOTUO_HEADLESS") else None,
        )
    except OSError as error:
        raise ValueError(
            f"端口 {port} 有人在用，换一个：--port。 Port {port} is in use: choose another --port "
            f"({error})"
        ) from None
    return address


def without_files(app: ASGIApp) -> ASGIApp:
    """Return an app without the doors by which Gradio lends, takes and fetches files."""
    from starlette.responses import Response

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        shut = scope["type"] == "http" and FILES.match(scope["path"])
        await (Response(status_code=404) if shut else app)(scope, receive, send)

    return guarded


def in_notebook(made: gradio.Blocks) -> str:
    """Open a page below the cell of a notebook and return its address; the one before is closed.

    The browser must be on the kernel's machine, or on Colab: from elsewhere the frame stays empty.
    On a machine that others use, JupyterHub's too, they can open it as well, without a password.
    Headless, where nobody looks at it, it is closed again at once.
    """
    while OPEN:
        OPEN.pop().close(verbose=False)
    address = opened(made)
    if os.environ.get("MINILUOTUO_HEADLESS"):
        made.close(verbose=False)
    else:
        OPEN.append(made)
    return address
