"""What each source gives to a small student: `ablate` on the sources that come with the package.

    python benchmarks/left_out.py sources [--tokens N] [--seeds N]
    python benchmarks/left_out.py kinds

sources: instructions, chains of thought, entities and relations, each left out in turn.
kinds: LaMini's two ways to new instructions, with examples alone and with topics, told apart by
what the rows name as their source. The recorded teacher stands in for both, so the rows of the two
differ in how they were asked for, not in who wrote them; none is in both.

Every training has as many tokens. Killed, the same command goes on (`runs/left_out/`), where the
answers stand side by side at the end.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from results import hardware

from miniluotuo_utils.files import read_jsonl, write_jsonl
from miniluotuo_utils.jobs.ablate import ablate, tables
from miniluotuo_utils.runtime import EMBEDDED, commit, runs_root
from miniluotuo_utils.teacher import RecordedTeacher, Teacher, respond
from miniluotuo_utils.teacher.guided import grow

SOURCES = ("embedded-instructions", "embedded-cot", "embedded-ner", "embedded-re")
ROWS = 100  # of each kind


def kinds(rows: int = ROWS) -> list[dict]:
    """Return answered rows of both kinds; `source` says which, and no instruction is in both."""
    bank, seeds = (read_jsonl(EMBEDDED / f"{name}.jsonl") for name in ("bank", "seeds"))
    topics = [row["topic"] for row in read_jsonl(EMBEDDED / "topics.jsonl")]
    with RecordedTeacher(bank) as server:
        teacher = Teacher(server.base_url, server.model)
        how = {"progress": False}
        by_example = grow(teacher, seeds, rows, **how).rows
        told = {row["instruction"] for row in by_example}
        by_topic = grow(teacher, seeds, 3 * rows, topics, count=10, **how).rows
        by_topic = [row for row in by_topic if row["instruction"] not in told][:rows]
        answered, _ = respond(teacher, [*by_example, *by_topic], **how)
    return [row | {"source": row["source"].partition("+")[0]} for row in answered]


def main() -> None:
    """Print the tables of one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("sources", "kinds"))
    parser.add_argument("--tokens", type=int, default=24_000, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()

    folder = runs_root() / "left_out" / f"{options.part}-{options.tokens}-{options.seeds}"
    how = {"tokens": options.tokens, "seeds": options.seeds, "say": print}
    data: list[str | Path] = [*SOURCES]
    if options.part == "kinds":
        data = [folder.with_name("kinds.jsonl")]
        rows = kinds()
        write_jsonl(data[0], rows, overwrite=True)
        print(Counter(row["source"] for row in rows))
        how["by"] = "source"
    print(f"\n{tables(ablate('tiny', data, folder, **how))}\n")
    print(
        f"`tiny`, {options.tokens:,} tokens, {options.seeds} seeds, {datetime.now(UTC):%Y-%m-%d}, "
        f"commit {commit()}, {hardware()}"
    )


if __name__ == "__main__":
    main()
