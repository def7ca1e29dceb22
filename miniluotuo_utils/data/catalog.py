"""Describe the data sources: one card each. Shown in notebook 01.

In: a name. Out: its card.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miniluotuo_utils.choices import check_choice, choices
from miniluotuo_utils.moved import names as moved_names

CARDS = Path(__file__).parent / "cards"
TERMS = (
    "permissive",
    "share-alike",
    "non-commercial",
    "none stated",
    "contradictory",
    "not looked up",
    "restricted",  # had by agreement only, and not to be passed on
)
# The states of a card's files, as tables show them.
STATES = {
    "embedded": "随包 embedded",
    "verified": "已核实 verified",
    "unverified": "未核实 unverified",
    "manual": "自取 by hand",
    "described": "仅说明 described",
}
# The four tags with which Alpaca-CoT says how a set was made: by people (human-generated), by a
# model (self-instruct), by both (mixed), out of other sets (a collection). What is translated here
# is Alpaca's, so a model wrote it.
TAGS = {
    "human": "HG",
    "self-instruct": "SI",
    "translated": "SI",
    "a language model, for this project": "SI",
    "mixed": "MIX",
    "distant supervision": "MIX",
    "collection": "COL",
    "human, collection": "COL",
}
# Tables begin with the sources of the first notebooks.
ORDER = ("instruction", "NER", "RE", "EE", "topics", "tokenizer", "runtime")


@dataclass(frozen=True)
class Card:
    """One source as it describes itself.

    `licence` is what the source states, `terms` our reading of it (one of `TERMS`). `records` holds
    the number that the source states and the number that our reader counted in the real files.
    `splits` maps a split to its files, each `{"url", "bytes", "sha256"}`; a null there was never
    read from the real file. `obtain` says how a person gets a source without addresses.
    `type_names` gives Chinese names to types that the source writes in English, one each.
    """

    name: str
    title: str
    language: str
    domain: str
    tasks: Sequence[str]
    made: str
    collections: Sequence[str]
    licence: str
    terms: str
    homepage: str
    citation: str
    records: Mapping[str, int | None]
    reader: str | None
    splits: Mapping[str, Sequence[Mapping]]
    obtain: str = ""
    note: str = ""
    type_names: Mapping[str, str] | None = None

    @property
    def pins(self) -> list[Mapping]:
        """Every file of the card."""
        return [pin for files in self.splits.values() for pin in files]

    @property
    def tag(self) -> str:
        """One of `TAGS`' four, "" where nobody looked up how it was made."""
        return TAGS.get(self.made, "")

    @property
    def state(self) -> str:
        """One of `STATES`; `verified`: somebody read size and SHA-256 from each real file."""
        if not self.pins:
            return "described"
        schemes = {pin["url"].split(":")[0] for pin in self.pins}
        if schemes == {"package"}:
            return "embedded"
        if all(pin["bytes"] and pin["sha256"] for pin in self.pins):
            return "verified"
        return "manual" if schemes == {"manual"} else "unverified"


def read_catalog(folder: Path = CARDS) -> dict[str, Card]:
    """Return every card of a folder by name."""
    cards = [Card(**json.loads(path.read_bytes())) for path in sorted(folder.glob("*.json"))]
    return {card.name: card for card in cards}


CATALOG = read_catalog()


def card(name: str) -> Card:
    """Return the card of that name; ValueError offers the nearest."""
    if name not in CATALOG:
        raise ValueError(
            f"no data set {name!r} in the catalog; {choices(name, CATALOG)}; the command `catalog` "
            "prints all of them, read_any reads a file of your own（目录里没有这个名字；"
            "前面是最像的几个；自己的文件用 read_any 读）"
        )
    return CATALOG[name]


def chosen(
    task: str | None = None,
    language: str | None = None,
    made: str | None = None,
    collection: str | None = None,
) -> dict[str, Card]:
    """Return the cards of a task, language, tag (`TAGS`) and collection; None is any.

    Sources in several languages (ML) are of each. ValueError for a name that no card has.

    >>> [*chosen("EE", "CN", "HG", "viscacha")]
    ['duee1', 'title2event']
    """
    every = CATALOG.values()
    for what, found, known in (
        ("task", task, {name for one in every for name in one.tasks}),
        ("language", language, {one.language for one in every}),
        ("made", made, {*TAGS.values()}),
        ("collection", collection, {name for one in every for name in one.collections}),
    ):
        if found is not None:
            check_choice(what, found, sorted(known))
    return {
        one.name: one
        for one in every
        if (task is None or task in one.tasks)
        and (language is None or one.language in (language, "ML"))
        and (made is None or one.tag == made)
        and (collection is None or collection in one.collections)
    }


def catalog_table(cards: Mapping[str, Card] = CATALOG) -> list[dict[str, str]]:
    """Return the catalog as notebooks and READMEs show it, instruction data first.

    >>> [row["名字 name"] for row in catalog_table({"resume": CATALOG["resume"]})]
    ['resume']
    """
    rows = []
    for c in sorted(cards.values(), key=lambda c: (ORDER.index(c.tasks[0]), not c.pins, c.name)):
        counts = {name: "—" if n is None else f"{n:,}" for name, n in c.records.items()}
        rows.append(
            {
                "名字 name": c.name,
                "数据集 data set": c.title,
                "语言": c.language,
                "领域": c.domain,
                "任务 tasks": "、".join(c.tasks),
                "声明条数 stated": counts["stated"],
                "核对条数 counted": counts["verified"],
                "做法 made": f"{c.tag} {c.made}".strip(),
                "许可证 licence": c.licence,
                "文件 files": STATES[c.state],
            }
        )
    return rows


__getattr__ = moved_names(__name__)
