"""Publish a mixture: Parquet with a dataset card whose numbers come from the data.

In: rows, their recipe and the cleaning report. Out: a folder that the hub shows as a data set.
Shown in notebook 01.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.cleaning import Report
from miniluotuo_utils.data.loading import table_of
from miniluotuo_utils.data.mixture import USABLE, Portion, permitted
from miniluotuo_utils.files import file_sha256, written_whole
from miniluotuo_utils.text import markdown
from miniluotuo_utils.writing import Taken
from miniluotuo_utils.writing.ours import MARK, changed, sign

# The hub's names for the size of a data set: rows below a limit.
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


def publish(
    folder: Path,
    rows: Sequence[dict],
    portions: Sequence[Portion],
    report: Report,
    name: str,
    terms: Collection[str] = USABLE,
) -> Path:
    """Write `train.parquet` and its card `README.md` into `folder`; other files there stay.

    Both are replaced where an earlier call wrote them and nobody has changed them since; `Taken`
    keeps a person's own. Raises ValueError for a source whose licence is not among `terms` (the
    catalog's reading of it), and where rows, recipe and report do not belong together: a card with
    another data set's numbers is worse than none.
    """
    # What must not be published is said before anything is written.
    if closed := [part.source for part in permitted(portions, terms)[1]]:
        said = "; ".join(f"{source}: {CATALOG[source].licence}" for source in closed)
        raise ValueError(
            "许可证没有明确允许，不能发布；去掉这些来源，确实可以发布的传入 terms=…。 "
            f"not to be published without a licence that allows it ({said}). "
            "Leave these sources out, or pass terms=… if you may"
        )
    strange = {row["source"].split("/")[0] for row in rows} - {part.source for part in portions}
    if len(rows) != report.after or strange:
        raise ValueError(
            f"{len(rows):,} rows, sources outside the recipe {sorted(strange)}; "
            f"the report says {report.after:,}: "
            "pass the recipe and the report of these very rows"
        )

    keep_own(folder)
    # A run that is killed between the two files leaves no list: what it wrote is no edit.
    (folder / MARK).unlink(missing_ok=True)
    with written_whole(folder / "train.parquet") as partial:
        table_of(rows).to_parquet(partial)
    text = dataset_card(rows, portions, report, name, file_sha256(folder / "train.parquet"))
    with written_whole(folder / "README.md") as partial:
        partial.write_text(text, encoding="utf-8")
    sign(folder, "train.parquet", "README.md")
    return folder


def keep_own(folder: Path) -> None:
    """Raise `Taken` where a folder has a `README.md` or `train.parquet` that is no set of ours, or
    was changed since.
    """
    card, rows = folder / "README.md", folder / "train.parquet"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    if card.exists() and MADE_BY not in text:
        raise Taken(f"{folder.name}/{card.name} is there and is not ours: choose another folder")
    if rows.exists() and not text:
        raise Taken(
            f"{folder.name}/{rows.name} is there without a card that says it is ours: "
            "delete it or choose another folder"
        )
    if name := changed(folder):
        raise Taken(
            f"{folder.name}/{name} was changed since we wrote it: choose another folder, or put "
            "your version elsewhere and delete it here"
            "（写下以后改过：换一个文件夹，或者先存到别处）"
        )


MADE_BY = "条中文指令，由迷你骆驼的笔记本 01 混合并清洗。"


def front_matter(
    rows: int,
    file: str,
    languages: Sequence[str] = ("zh",),
    tasks: Sequence[str] = ("text-generation",),
) -> str:
    """Return the YAML block that opens a dataset card and that the hub reads its filters from.

    >>> print(front_matter(20, "train.parquet"))
    ---
    language:
    - zh
    license: other
    size_categories:
    - n<1K
    task_categories:
    - text-generation
    configs:
    - config_name: default
      data_files: train.parquet
    ---
    """
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        language=list(languages),
        license="other",
        task_categories=list(tasks),
        size_categories=[next((SIZES[limit] for limit in SIZES if rows < limit), "n>1M")],
        configs=[{"config_name": "default", "data_files": file}],
    )
    return f"---\n{data}\n---"


def dataset_card(
    rows: Sequence[dict], portions: Sequence[Portion], report: Report, name: str, digest: str
) -> str:
    """Return the card in the hub's form: front matter, sources, recipe, cleaning, hash."""
    counted = Counter(row["source"].split("/")[0] for row in rows)
    named = dict.fromkeys(part.source for part in portions if counted[part.source])
    cards = [CATALOG[name] for name in named]
    sources = [
        [f"[{c.name}]({c.homepage})", f"{counted[c.name]:,}", c.licence, c.made, c.citation]
        for c in cards
    ]
    recipe = [list(map(str, asdict(part).values())) for part in portions]
    cleaning = [
        ["读入 rows in", f"{report.before:,}", ""],
        *([step, "", f"{n:,}"] for step, n in report.mended.items()),
        *([step, f"−{n:,}", ""] for step, n in report.removed.items()),
        ["留下 rows left", f"{report.after:,}", ""],
    ]
    head = ["来源 source", "条数 rows", "许可证 licence", "做法 made", "引用 citation"]
    return f"""{front_matter(len(rows), "train.parquet")}

# {name}

{len(rows):,} {MADE_BY}
*{len(rows):,} Chinese instruction rows, mixed and cleaned by notebook 01.*

每条：`instruction, input, output, source`，对话另有 `history`。各来源的许可证不同，以来源为准。
*The licences differ by source; the source decides.*

## 来源 · Sources

{markdown(head, sources)}

## 配方 · Recipe

{markdown(list(asdict(portions[0])), recipe)}

## 清洗 · Cleaning

{markdown(["步骤 step", "条数 rows", "改写 mended"], cleaning)}

`train.parquet` SHA-256: `{digest}`
"""
