"""Measure a student's ways out of Python: the same extractions by each of them on the same cores.

    python benchmarks/ways_out.py STUDENT FOLDER [--threads 1] [--ways NAME…]

FOLDER keeps the exports and `rows.jsonl`, a line for each way that was measured: run again, what
stands there is not measured again. Each way runs in a process of its own, one run after a warm-up,
greedy, at most 128 new tokens; the sentences are those of the embedded NER sets. A browser needs
Chromium, and npm for the two programs beside our page. Prints a table with hardware, date, commit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from results import hardware

from miniluotuo_utils.data.download import fetch_all
from miniluotuo_utils.files import Journal, read_jsonl
from miniluotuo_utils.ie import extract, micro, schema_of, score
from miniluotuo_utils.ie.instructions import questions
from miniluotuo_utils.runtime import EMBEDDED, commit, peak_memory_mib
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
            "dist/ort-wasm-simd-threaded.jsep.mjs",
            "dist/ort-wasm-simd-threaded.jsep.wasm",
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
    """What one way gave: answers, seconds of all, seconds to a first token, its memory."""

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
    ask: Callable[[Any, int], str], prompts: Sequence, clients: int = 1, mib: int = 0
) -> Measured:
    """Ask one prompt at a time per client, after a warm-up; then wait for first tokens alone."""
    ask(prompts[0], TOKENS)
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda prompt: ask(prompt, TOKENS), prompts))
    seconds = time.perf_counter() - started

    waits = []
    for prompt in prompts[:FIRST]:
        begun = time.perf_counter()
        ask(prompt, 1)
        waits.append(time.perf_counter() - begun)
    return Measured(answers, seconds, statistics.median(waits), mib or peak_memory_mib()["ram"])


# ---- Python


def by_generate(name: str, asked: Exam, dtype: str = "float32", size: int = 1) -> Measured:
    """Answer by our `generate`, `size` prompts at a time."""
    from miniluotuo_utils.generation import generate

    student = load_student(name, dtype=dtype)
    prompts = prompts_of(student, asked.rows)
    if size == 1:
        return timed(lambda p, most: generate(student, [p], max_new_tokens=most)[0], prompts)

    # Each prompt of a batch waits for the prompts of all of them.
    generate(student, prompts[:2], max_new_tokens=TOKENS, batch_size=size)
    started = time.perf_counter()
    answers = generate(student, prompts, max_new_tokens=TOKENS, batch_size=size)
    seconds = time.perf_counter() - started
    begun = time.perf_counter()
    generate(student, prompts[:size], max_new_tokens=1, batch_size=size)
    return Measured(answers, seconds, time.perf_counter() - begun, peak_memory_mib()["ram"])


def by_serve(name: str, asked: Exam, clients: int = 1) -> Measured:
    """Answer by `transformers serve`, as the command `serve` starts it."""
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

        found = timed(ask, texts, clients)
        return found._replace(mib=peak_of([server.process.pid]))


def peak_of(numbers: Sequence[int]) -> int:
    """Return the peak memory of processes together, in MiB (Linux)."""
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
    import xllamacpp
    from check_exports import Asker

    settings = xllamacpp.CommonParams()
    settings.model.path = str(folder / "gguf" / "student.gguf")
    settings.n_parallel, settings.n_ctx, settings.port = slots, 512 * slots, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(settings)
    ask = Asker(server.listening_address)
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

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    place = folder / "page" if way == "page" else beside(folder)
    with hosted(place) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=options)
        tab = browser.new_page()
        tab.set_default_timeout(WAIT)
        tab.goto(address + ("" if way == "page" else "ways_out.html"))
        found = on_page(tab, asked) if way == "page" else on_harness(tab, way, name, asked, folder)
        children = psutil.Process().children(recursive=True)
        drawing = [one.pid for one in children if "--type=renderer" in one.cmdline()]
        mib = peak_of(drawing)
        browser.close()
    return found._replace(mib=mib)


def on_page(tab: Any, asked: Exam) -> Measured:
    """Type every sentence into our page, press, and add up the seconds that it shows."""
    tab.wait_for_selector("#extract:not([disabled])")
    tab.fill("#types", "，".join(asked.schema))
    answers, seconds, waits = [], [], []
    for number, row in enumerate([asked.rows[0], *asked.rows]):
        tab.fill("#text", row["input"])
        tab.click("#extract")
        tab.wait_for_selector("#extract:not([disabled])")
        told = tab.locator("#found small").last.inner_text().split(" s，")
        if number:
            answers.append(tab.locator("#answer").text_content())
            seconds.append(float(told[0].split()[0]))
            waits.append(float(told[1].split()[-1]))
    return Measured(answers, sum(seconds), statistics.median(waits), 0)


def on_harness(tab: Any, way: str, name: str, asked: Exam, folder: Path) -> Measured:
    """Ask a program in `ways_out.html`."""
    tab.wait_for_function("!!window.opened")
    tab.evaluate("way => window.opened(way)", way)
    prompts = prompts_of(vocabulary(name, asked, folder)[0], asked.rows)
    # One client: a page has one thread, and playwright's objects belong to theirs.
    answers = []
    tab.evaluate("([p, n]) => window.ask(p, n)", [prompts[0], TOKENS])
    started = time.perf_counter()
    for prompt in prompts:
        answers.append(tab.evaluate("([p, n]) => window.ask(p, n)", [prompt, TOKENS]))
    seconds = time.perf_counter() - started
    waits = []
    for prompt in prompts[:FIRST]:
        begun = time.perf_counter()
        tab.evaluate("([p, n]) => window.ask(p, n)", [prompt, 1])
        waits.append(time.perf_counter() - begun)
    return Measured(answers, seconds, statistics.median(waits), 0)


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


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine by Python's own server; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=folder, **quiet)
    try:
        for _ in range(100):
            with socket.socket() as found:
                if found.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait()


# ---- all ways


def ways(name: str, asked: Exam, folder: Path, threads: int) -> dict[str, Callable[[], Measured]]:
    """Return what is compared, by name; each loads what it needs and answers all prompts."""
    onnx, llama = (name, asked, folder), (name, asked, folder)
    return {
        "`generate`, one by one": lambda: by_generate(name, asked),
        "`generate`, batches of 8": lambda: by_generate(name, asked, size=8),
        "`generate`, batches of 32": lambda: by_generate(name, asked, size=32),
        "`generate`, bfloat16, batches of 32": lambda: by_generate(name, asked, "bfloat16", 32),
        "`serve`, 1 client": lambda: by_serve(name, asked),
        f"`serve`, {CLIENTS} clients": lambda: by_serve(name, asked, CLIENTS),
        "onnxruntime, float32": lambda: by_onnx(*onnx, "model.onnx", threads),
        "onnxruntime, int8": lambda: by_onnx(*onnx, "model_int8.onnx", threads),
        "llama.cpp, 1 slot": lambda: by_llama(*llama, 1, threads),
        f"llama.cpp, {CLIENTS} slots": lambda: by_llama(*llama, CLIENTS, threads),
        "llama.cpp, 32 slots": lambda: by_llama(*llama, 32, threads),
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
        "| way 方法 | sentences/s 句每秒 | first token, s 第一个词元 | memory, MiB 内存 "
        "| equal 相同回答 | F1 |\n|---|---|---|---|---|---|"
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
        import torch

        torch.set_num_threads(options.threads)
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
