"""Publishing a mixture: Parquet with a dataset card whose numbers come from the data.

In: rows, their recipe and the cleaning report. Out: a folder that the hub shows as a data set. Shown in notebook 01.
"""

from __future__ import annotations

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

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def publish(
    folder: Path,
    rows: Sequence[dict],
    portions: Sequence[Portion],
    report: Report,
    name: str,
    terms: Collection[str] = USABLE,
) -> Path:
    """Write `train.parquet` and its card `README.md` into `folder`, each whole or not at all; other files there stay.

    ValueError for a source whose licence is not among `terms` (the catalog's reading of it), and where rows, recipe and report do not
    belong together: a card with another data set's numbers is worse than none.
    """
    if closed := [part.source for part in permitted(portions, terms)[1]]:
        said = "; ".join(f"{name}: {CATALOG[name].licence}" for name in closed)
        raise ValueError(
            f"not to be published without a licence that allows it ({said}). Leave these sources out, or pass terms=… if you may"
        )
    strange = {row["source"].split("/")[0] for row in rows} - {part.source for part in portions}
    if len(rows) != report.after or strange:
        raise ValueError(
            f"{len(rows):,} rows, sources outside the recipe {sorted(strange)}; the report says {report.after:,}: "
            "pass the recipe and the report of these very rows"
        )
    with written_whole(folder / "train.parquet") as partial:
        table_of(rows).to_parquet(partial)
    with written_whole(folder / "README.md") as partial:
        partial.write_text(
            dataset_card(rows, portions, report, name, file_sha256(folder / "train.parquet")),
            encoding="utf-8",
        )
    return folder


def dataset_card(
    rows: Sequence[dict], portions: Sequence[Portion], report: Report, name: str, digest: str
) -> str:
    """The card in the hub's form: front matter, sources and licences, recipe, cleaning funnel, hash."""
    counted = Counter(row["source"].split("/")[0] for row in rows)
    used = [part for part in portions if counted[part.source]]
    size = next((label for limit, label in SIZES if len(rows) < limit), "n>1M")
    front = (
        f"---\nlanguage:\n- zh\nlicense: other\ntask_categories:\n- text-generation\nsize_categories:\n- {size}\nconfigs:\n- config_name: default\n"
        "  data_files: train.parquet\n---\n"
    )
    sources = [
        [
            f"[{p.source}]({CATALOG[p.source].homepage})",
            f"{counted[p.source]:,}",
            CATALOG[p.source].licence,
            CATALOG[p.source].made,
            CATALOG[p.source].citation,
        ]
        for p in used
    ]
    steps = [
        ["读入 rows in", f"{report.before:,}", ""],
        *([step, "", f"{n:,}"] for step, n in report.mended.items()),
        *([step, f"−{n:,}", ""] for step, n in report.removed.items()),
        ["留下 rows left", f"{report.after:,}", ""],
    ]
    return "\n".join(
        [
            front,
            f"# {name}\n",
            f"{len(rows):,} 条中文指令，由迷你骆驼的笔记本 01 混合并清洗。",
            f"*{len(rows):,} Chinese instruction rows, mixed and cleaned by notebook 01.*\n",
            "每条：`instruction, input, output, source`，对话另有 `history`。各来源的许可证不同，以来源为准。",
            "*The licences differ by source; the source decides.*\n",
            "## 来源 · Sources\n",
            markdown(
                ["来源 source", "条数 rows", "许可证 licence", "做法 made", "引用 citation"],
                sources,
            ),
            "\n## 配方 · Recipe\n",
            markdown(
                list(asdict(portions[0])), [[str(v) for v in asdict(p).values()] for p in portions]
            ),
            "\n## 清洗 · Cleaning\n",
            markdown(["步骤 step", "条数 rows", "改写 mended"], steps),
            f"\n`train.parquet` SHA-256: `{digest}`\n",
        ]
    )
