"""Measure a student's ways out of Python: the same extractions by each of them on the same cores.

    python benchmarks/ways_out.py STUDENT FOLDER [--threads 1] [--ways NAME…]

FOLDER keeps the exports and `rows.jsonl`, a line for each way that was measured: run again, what
stands there is not measured again. Each way runs in a process of its own, one run after a warm-up,
greedy, at most 128 new tokens; the sentences are those of the embedded NER sets. Rates are of the
seconds that all processes of a way spend on a core, which others on the machine hardly change. A
browser needs Chromium, and npm for the two programs beside our page. Prints a table with hardware,
date and commit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from results import hardware

from miniluotuo_utils.data.download import fetch_all
from miniluotuo_utils.export.trying import ALONE, Llama, chromium, hosted
from miniluotuo_utils.files import Journal, read_jsonl
from miniluotuo_utils.ie import extract, micro, schema_of, score
from miniluotuo_utils.ie.instructions import questions
from miniluotuo_utils.runtime import EMBEDDED, commit
from miniluotuo_utils.students import Student, load_student
from miniluotuo_utils.students.loading import fingerprint
from miniluotuo_utils.tokens import prompt_ids, prompts_of
from miniluotuo_utils.tokens.vocabulary import text_of

TOKENS = 128  # of an answer, at most
FIRST = 10  # prompts whose first token is waited for
CLIENTS = 8  # that ask a server at once
WAIT = 600_000  # milliseconds that a browser may take for an answer
# What the two programs beside our page come in.
PACKAGES = {
    "npm:@huggingface/transformers@4.3.1": (
        2268123,
        "0325441d6bd7bc7697fccb32ee6e5febc7f89691e42402d071adc678237b8015",
        ("dist/transformers.min.js",),
    ),
    "npm:onnxruntime-web@1.31.0-dev.20260914-8d85527a0": (
        33185781,
        "0de27582f3e3189dec4a2082513a0af1ea79ae7fd3039bbfe634a526e173cbe0",
        (
            "dist/ort-wasm-simd-threaded.asyncify.mjs",
            "dist/ort-wasm-simd-threaded.asyncify.wasm",
        ),
    ),
    "npm:@wllama/wllama@3.13.0": (
        3518232,
        "a9eaac205ff9a1d6fdbea395a48652bd5febc56511a7b66b736d862bf726d2d5",
        ("esm/index.min.js", "esm/wasm/wllama.wasm"),
    ),
}


class Exam(NamedTuple):
    """What every way is asked: sentences with their gold entities, as prompts of a student."""

    records: list[dict]
    schema: list[str]
    rows: list[dict]


class Measured(NamedTuple):
    """What one way gave: answers, core seconds of all, seconds to a first token at best, memory."""

    answers: list[str]
    seconds: float
    first: float
    mib: int


def exam(count: int) -> Exam:
    """Return the first `count` sentences of the embedded NER sets, the test first."""
    files = ("ner_test.jsonl", "ner_train.jsonl")
    records = [record for file in files for record in read_jsonl(EMBEDDED / file)][:count]
    schema = schema_of(records, "NER")
    sentences = [record["sentence"] for record in records]
    return Exam(records, schema, questions(sentences, schema, "NER", slice_size=None))


def timed(
    ask: Callable[[Any, int], str],
    prompts: Sequence,
    clients: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> Measured:
    """Ask one prompt at a time per client, after a warm-up; then wait for first tokens alone.

    `clock` gives the core seconds so far of the processes that answer.
    """
    ask(prompts[0], TOKENS)
    started = clock()
    if clients == 1:  # what a browser is asked through belongs to its thread
        answers = [ask(prompt, TOKENS) for prompt in prompts]
    else:
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(lambda prompt: ask(prompt, TOKENS), prompts))
    seconds = clock() - started

    waits = []
    for prompt in prompts[:FIRST]:
        begun = time.perf_counter()
        ask(prompt, 1)
        waits.append(time.perf_counter() - begun)
    return Measured(answers, seconds, min(waits), peak_of([os.getpid()]))


def spent(processes: Sequence[Any]) -> float:
    """Return the core seconds that processes have spent so far."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


# ---- Python


def by_generate(
    name: str, asked: Exam, threads: int, dtype: str = "float32", size: int = 1
) -> Measured:
    """Answer by our `generate`, `size` prompts at a time."""
    import torch

    from miniluotuo_utils.generation import generate

    torch.set_num_threads(threads)
    student = load_student(name, dtype=dtype)
    prompts = prompts_of(student, asked.rows)
    if size == 1:
        return timed(lambda p, most: generate(student, [p], max_new_tokens=most)[0], prompts)

    # Each prompt of a batch waits for the prompts of all of them.
    generate(student, prompts[:2], max_new_tokens=TOKENS, batch_size=size)
    started = time.process_time()
    answers = generate(student, prompts, max_new_tokens=TOKENS, batch_size=size)
    seconds = time.process_time() - started
    begun = time.perf_counter()
    generate(student, prompts[:size], max_new_tokens=1, batch_size=size)
    return Measured(answers, seconds, time.perf_counter() - begun, peak_of([os.getpid()]))


def by_serve(name: str, asked: Exam, clients: int = 1) -> Measured:
    """Answer by `transformers serve`, as the command `serve` starts it."""
    import psutil
    from openai import DefaultHttpxClient, OpenAI

    from miniluotuo_utils.jobs.serve import served
    from miniluotuo_utils.prompts import joined

    texts = [joined(row["instruction"], row["input"]) for row in asked.rows]
    with served(name) as server:
        direct = DefaultHttpxClient(trust_env=False, timeout=3600)
        client = OpenAI(
            base_url=server.address, api_key="-", max_retries=0, timeout=3600, http_client=direct
        )

        def ask(text: str, most: int) -> str:
            messages = [{"role": "user", "content": text}]
            reply = client.chat.completions.create(
                model=server.name, messages=messages, max_tokens=most
            )
            return reply.choices[0].message.content

        server_process = [psutil.Process(server.process.pid)]
        found = timed(ask, texts, clients, lambda: spent(server_process))
        return found._replace(mib=peak_of([server.process.pid]))


def peak_of(numbers: Sequence[int]) -> int:
    """Return the peak memory of processes together, in MiB (Linux).

    What `getrusage` says of a process holds what its parent had when it began it.
    """
    total = 0
    for number in numbers:
        status = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
        total += next(int(one.split()[1]) for one in status.splitlines() if "VmHWM" in one)
    return total >> 10


# ---- onnxruntime and llama.cpp


def by_onnx(name: str, asked: Exam, folder: Path, file: str, threads: int) -> Measured:
    """Answer by onnxruntime, with the loop of the example in the folder."""
    from onnxruntime import InferenceSession, SessionOptions

    from miniluotuo_utils.export.example import written

    options = SessionOptions()
    options.intra_op_num_threads = threads
    path = folder / "onnx" / "onnx" / file
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tokenizer, ends, ids = vocabulary(name, asked, folder)
    return timed(lambda p, most: text_of(tokenizer, written(session, p, ends, most)), ids)


def vocabulary(name: str, asked: Exam, folder: Path) -> tuple[Any, list[int], list[list[int]]]:
    """Return tokenizer, ends and the ids of all prompts, without loading weights."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "onnx")
    told = json.loads((folder / "onnx" / "asking.json").read_text(encoding="utf-8"))
    return tokenizer, told["ends"], prompt_ids(tokenizer, prompts_of(tokenizer, asked.rows))


def by_llama(name: str, asked: Exam, folder: Path, slots: int, threads: int) -> Measured:
    """Answer by llama.cpp's own server, `slots` prompts at a time."""
    ask = Llama(folder / "gguf" / "student.gguf", slots, threads, context=512)
    fixed = {"samplers": ["top_k"], "top_k": 1}
    tokenizer, _, ids = vocabulary(name, asked, folder)

    def answer(prompt: list[int], most: int) -> str:
        return ask("/completion", prompt=prompt, n_predict=most, **fixed)["content"]

    return timed(answer, ids, slots)


# ---- browsers


def in_browser(name: str, asked: Exam, folder: Path, way: str) -> Measured:
    """Answer in a headless Chromium without a network: our page, or a program beside it."""
    import psutil
    from playwright.sync_api import sync_playwright

    place = folder / "page" if way == "page" else beside(folder)
    with hosted(place) as (address, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=ALONE)
        tab = browser.new_page()
        tab.set_default_timeout(WAIT)
        tab.goto(address + ("" if way == "page" else "ways_out.html"))
        children = psutil.Process().children(recursive=True)
        parts = [one for one in children if any("chrom" in word for word in one.cmdline()[:1])]
        ask = on_page(tab, asked) if way == "page" else on_harness(tab, way)
        prompts = prompts_of(vocabulary(name, asked, folder)[0], asked.rows)
        texts = [row["input"] for row in asked.rows] if way == "page" else prompts
        found = timed(ask, texts, clock=lambda: spent(parts))
        drawing = [one.pid for one in parts if "--type=renderer" in one.cmdline()]
        mib = peak_of(drawing)
        # Our page writes whole answers, and shows how long the first token of the last one took.
        if way == "page":
            shown = tab.locator("#found small").last.inner_text()
            found = found._replace(first=float(re.search(r"token ([\d.]+)", shown)[1]))
        browser.close()
    return found._replace(mib=mib)


def on_page(tab: Any, asked: Exam) -> Callable[[str, int], str]:
    """Return how our page is asked: a sentence typed, a button pressed, the answer read."""
    tab.wait_for_selector("#extract:not([disabled])")
    tab.fill("#types", "，".join(asked.schema))

    def ask(text: str, _: int) -> str:
        tab.fill("#text", text)
        tab.click("#extract")
        tab.wait_for_selector("#extract:not([disabled])")
        return tab.locator("#answer").text_content()

    return ask


def on_harness(tab: Any, way: str) -> Callable[[str, int], str]:
    """Return how a program in `ways_out.html` is asked."""
    tab.wait_for_function("!!window.opened")
    tab.evaluate("way => window.opened(way)", way)
    return lambda prompt, most: tab.evaluate("([p, n]) => window.ask(p, n)", [prompt, most])


def beside(folder: Path) -> Path:
    """Put the two programs, the harness and the exports into one folder, and return it."""
    place = folder / "beside"
    place.mkdir(exist_ok=True)
    for url, (size, digest, names) in PACKAGES.items():
        [package] = fetch_all([{"url": url, "bytes": size, "sha256": digest}])
        with tarfile.open(package) as archive:
            for one in names:
                target = place / one.rpartition("/")[2]
                target.write_bytes(archive.extractfile(f"package/{one}").read())
    shutil.copy(Path(__file__).with_suffix(".html"), place)
    for name in ("onnx", "gguf"):
        shutil.copytree(folder / name, place / name, dirs_exist_ok=True)
    return place


# ---- all ways


def ways(name: str, asked: Exam, folder: Path, threads: int) -> dict[str, Callable[[], Measured]]:
    """Return what is compared, by name; each loads what it needs and answers all prompts."""
    onnx, llama = (name, asked, folder), (name, asked, folder)
    return {
        "`generate`, one by one": lambda: by_generate(name, asked, threads),
        "`generate`, batches of 8": lambda: by_generate(name, asked, threads, size=8),
        "`generate`, batches of 32": lambda: by_generate(name, asked, threads, size=32),
        "`generate`, bfloat16, batches of 32": lambda: by_generate(
            name, asked, threads, "bfloat16", 32
        ),
        "`serve`, 1 client": lambda: by_serve(name, asked),
        f"`serve`, {CLIENTS} clients": lambda: by_serve(name, asked, CLIENTS),
        "onnxruntime, float32": lambda: by_onnx(*onnx, "model.onnx", threads),
        "onnxruntime, int8": lambda: by_onnx(*onnx, "model_int8.onnx", threads),
        "llama.cpp, 1 slot": lambda: by_llama(*llama, 1, threads),
        f"llama.cpp, {CLIENTS} slots": lambda: by_llama(*llama, CLIENTS, threads),
        "browser: our page": lambda: in_browser(*onnx, "page"),
        "browser: transformers.js": lambda: in_browser(*onnx, "transformers.js"),
        "browser: wllama": lambda: in_browser(*onnx, "wllama"),
    }


def exported(student: Student, folder: Path) -> None:
    """Write what is not there yet; an export that is there is whole."""
    from miniluotuo_utils.export import to_browser, to_gguf, to_onnx

    for way, write in {"onnx": to_onnx, "gguf": to_gguf, "page": to_browser}.items():
        if not (folder / way).is_dir():
            write(student, folder / way)


def first_json(answer: str) -> str:
    """Return an answer up to the end of its JSON: what follows is never read.

    >>> first_json('{"a":["b"]}，没了')
    '{"a":["b"]}'
    """
    try:
        return answer[: json.JSONDecoder().raw_decode(answer)[1]]
    except ValueError:
        return answer


def f1_of(student: Student, asked: Exam, answers: list[str]) -> float:
    """Return micro-F1 by span of answers."""
    sentences = [record["sentence"] for record in asked.records]
    found = extract(
        student, sentences, asked.schema, "NER", slice_size=None, generate=lambda *_, **__: answers
    )
    [(_, figures)] = micro(score(asked.records, found.records, "NER"))
    return figures["f1"]


def table(student: Student, asked: Exam, lines: Sequence[dict]) -> None:
    """Print the rows that were measured, in the order of the ways."""
    base = [first_json(one) for one in lines[0]["answers"]] if lines else []
    print(
        "| way 方法 | sentences per core-second 每核秒几句 | first token, s 第一个词元 "
        "| memory, MiB 内存 | equal 相同回答 | F1 |\n|---|---|---|---|---|---|"
    )
    for line in lines:
        answers = line["answers"]
        equal = sum(first_json(a) == b for a, b in zip(answers, base, strict=True))
        print(
            f"| {line['way']} | {len(answers) / line['seconds']:.1f} | {line['first']:.3f} "
            f"| {line['mib']:,} | {equal}/{len(base)} | {f1_of(student, asked, answers):.3f} |"
        )


def main() -> None:
    """Measure what is missing, each way in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1, help="of each way; a page has one")
    parser.add_argument("--ways", nargs="+", help="parts of names; left out: all")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the way of this very process
    options = parser.parse_args()
    asked = exam(options.sentences)
    known = ways(options.student, asked, options.folder, options.threads)
    if options.one:
        print(json.dumps(known[options.one]()._asdict()))
        return

    # An export is made once; what a row belongs to stands in the journal's first line.
    options.folder.mkdir(parents=True, exist_ok=True)
    student = load_student(options.student)
    exported(student, options.folder)
    made_by = {"weights": fingerprint(student), "threads": options.threads}
    journal = Journal(options.folder / "rows.jsonl", made_by | {"sentences": options.sentences})
    for way in known:
        chosen = not options.ways or any(part in way for part in options.ways)
        if chosen and way not in {line["way"] for line in journal.lines()}:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", way]
            print(f"{way}…", file=sys.stderr, flush=True)
            done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
            journal.append({"way": way, **json.loads(done.stdout.strip().rpartition("\n")[2])})
    lines = {line["way"]: line for line in journal.lines()}
    table(student, asked, [lines[way] for way in known if way in lines])
    print(
        f"\n`{student.name}`, {student.parameters:,} parameters, {len(asked.rows)} prompts, "
        f"greedy, one run after a warm-up, {options.threads} thread, {datetime.now(UTC):%Y-%m-%d}, "
        f"commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    main()
