"""Read what the licences of several sources allow together. Shown in notebook 07.

In: how many rows came from which source, by the names in their `source`. Out: what each source's
card states, the strictest of them, and those that may not be published. It is a reading of the
catalog, no legal advice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.data.catalog import CATALOG, TERMS
from miniluotuo_utils.data.mixture import USABLE

# From what asks least of a publisher to what asks most, or leaves open what it asks.
STRICT = (
    *("permissive", "share-alike", "non-commercial", "contradictory", "not looked up"),
    *("none stated", "restricted"),
)
# Rows are copies, weights are not: a student for non-commercial use may be passed on as such.
MAY_BE = {"rows": USABLE, "weights": (*USABLE, "non-commercial")}
# What follows from the strictest terms, for whoever publishes.
FOLLOWS = {
    "permissive": "可以用、改、再发，保留署名 may be used, changed and passed on, with attribution",
    "share-alike": "再发要用同样的许可证 is passed on under the same licence only",
    "non-commercial": "只能非商用 is for non-commercial use only",
    "contradictory": "来源自相矛盾，按最严的办 its source contradicts itself: the stricter counts",
    "not looked up": "还没有人查过，先去查 nobody has looked it up: do so first",
    "none stated": "没有写明，就没有允许，先去问 states nothing, so permits nothing: ask first",
    "restricted": "要按协议取得，不许转发 is had by agreement and not passed on",
}
OURS = "embedded"  # what the package's own sentences name as their source
STAND_IN = "recorded-stand-in"  # the teacher whose replies ship with the package
TRANSLATED = "-zh"  # behind the name of a source whose records were translated
# What `instruct` writes: the instruction is the teacher's, too.
GROWN = ("example_guided", "topic_guided")


@dataclass(frozen=True)
class Origin:
    """One source of a data set or a student, as its card describes it.

    `rows` is None for what gave none, a base. `known` says whether somebody has read its licence.
    """

    name: str
    rows: int | None
    licence: str
    terms: str
    link: str = ""
    known: bool = True


def origins(
    counts: Mapping[str, int], own: Collection[str] = (), others: Sequence[Origin] = ()
) -> list[Origin]:
    """Return `others` and the sources behind the `source` names of rows, most rows first.

    `own` are sources outside the catalog that the publisher answers for: files of their own, a
    teacher whose terms they have read. ValueError for a name among them that is none of these, and
    for one that the catalog knows, whose card says what it allows.

    >>> [(one.name, one.rows, one.terms) for one in origins({"coig/exam": 2, "coig/leetcode": 1})]
    [('coig', 3, 'permissive')]
    >>> [(one.name, one.terms) for one in origins({"diary+some-model": 5}, own=["diary"])]
    [('diary', 'permissive'), ('some-model', 'not looked up')]
    """
    merged: Counter[str] = Counter()
    for source, rows in counts.items():
        for name in named(source):
            merged[name] += rows
    found = [*others, *(origin(name, rows) for name, rows in merged.most_common())]
    check_own(own, found)
    mine = {"licence": "发布者自己负责 the publisher's own", "terms": "permissive"}
    return [replace(one, **mine) if one.name in own else one for one in found]


def named(source: str) -> list[str]:
    """Return the names in a row's `source`: where it is from, and the model that answered.

    >>> named("baike2018qa/教育/高考"), named("alpaca-chinese+m-1"), named("topic_guided+m-1")
    (['baike2018qa'], ['alpaca-chinese', 'm-1'], ['m-1'])
    >>> named("wnut17-zh"), named("")
    (['wnut17'], [''])
    """
    begun, _, model = source.partition("+")
    first = begun.partition("/")[0]
    # A translation is under the terms of what was translated.
    known = (one for one in (first, first.removesuffix(TRANSLATED)) if one in CATALOG)
    name = next(known, begun)
    if model.startswith(STAND_IN):
        model = OURS
    return [part for part in (name, model) if part and part not in GROWN] or [""]


def check_own(own: Collection[str], found: Sequence[Origin]) -> None:
    """Raise ValueError for a name that nothing came from, or whose licence is known."""
    known = {one.name: one for one in found if one.known}
    for name in own:
        if name in known:
            raise ValueError(
                f"{name} 的许可证是知道的，不能当作自己的。 {name} states a licence "
                f"({known[name].licence}), so it is not one of yours: leave it out of own"
            )
        strange = [one.name for one in found if not one.known]
        if not strange:
            raise ValueError(
                f"own 里写了 {name}，可是所有来源的许可证都是知道的：不用写 own。 own is {name!r}, "
                "and the licence of every source is known: leave it out of own"
            )
        check_choice("own", name, strange)


def origin(name: str, rows: int | None) -> Origin:
    """Return what is known about one source of rows."""
    if name in CATALOG:
        card = CATALOG[name]
        return Origin(name, rows, card.licence, card.terms, card.homepage)
    if name == OURS:
        return Origin("迷你骆驼 Mini-Luotuo", rows, "Apache-2.0", "permissive")
    if not name:
        return Origin(NAMELESS, rows, "没有写来源 no source is named", "not looked up", known=False)
    return Origin(name, rows, "不在目录里 not in the catalog", "not looked up", known=False)


NAMELESS = "nameless"


def strictest(found: Sequence[Origin]) -> Origin:
    """Return the source that asks most, of several the one with most rows.

    >>> strictest(origins({"resume": 1, "finre": 9, "fewfc": 5})).name
    'resume'
    """
    return max(found, key=lambda one: STRICT.index(one.terms))


def refused(found: Sequence[Origin], what: str, accept: Collection[str] = ()) -> list[Origin]:
    """Return the sources whose licence does not let rows, or weights, be published.

    `accept` are terms that the publisher has permission for; copies of what is had by agreement
    are refused all the same.

    >>> found = origins({"resume": 1, "iepile": 2, "boson": 3})
    >>> [one.name for one in refused(found, "weights")]
    ['boson', 'resume']
    >>> [one.name for one in refused(found, "rows", accept=["none stated", "restricted"])]
    ['boson', 'iepile']
    """
    for terms in accept:
        check_choice("accept", terms, TERMS)
    allowed = {*MAY_BE[what], *accept} - ({"restricted"} if what == "rows" else set())
    return [one for one in found if one.terms not in allowed]


def hub_licence(found: Sequence[Origin]) -> str:
    """Return the hub's name for the licence of what was made of some sources, `other` for most.

    It is the strictest source's, where all that are as strict state one and the same.

    >>> hub_licence(origins({"fewfc": 2, "embedded": 1})), hub_licence(origins({"resume": 1}))
    ('cc-by-sa-4.0', 'other')
    """
    most = strictest(found).terms
    stated = {hub_name(one.licence) for one in found if one.terms == most and one.known}
    return stated.pop() if len(stated) == 1 else "other"


SPDX = re.compile(r"(apache-2\.0|mit|cc by(-nc)?(-sa)? \d\.\d)( \(card\)| annotations)?")


def hub_name(licence: str) -> str:
    """Return the hub's name for one licence as a card states it, `other` where it has none.

    >>> hub_name("CC BY-NC-SA 4.0"), hub_name("apache-2.0 (card)"), hub_name("none stated")
    ('cc-by-nc-sa-4.0', 'apache-2.0', 'other')
    """
    found = SPDX.fullmatch(licence.lower())
    return found[1].replace(" ", "-") if found else "other"
