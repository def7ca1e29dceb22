"""Answers frozen in `shapes/*.txt` before the parser was tuned to them, and how they are judged."""

from dataclasses import dataclass
from pathlib import Path

from miniluotuo_utils.ie import parse

FOLDER = Path(__file__).parent / "shapes"
SCHEMAS = {
    "NER": ["人物", "地点", "组织机构", "时间"],
    "RE": ["出生地", "作者", "创始人"],
    "EE": {"收购": ["收购方", "被收购方", "时间", "金额"], "裁员": ["裁员方", "人数", "时间"]},
}
READINGS = {
    "N": "周明远/人物; 青岛海洋大学/组织机构; 厦门/地点",
    "R": "顾晓棠/出生地/绍兴; 雾里看灯/作者/顾晓棠",
    "E": "收购/买下/收购方:腾跃科技,被收购方:北岸软件,时间:5月3日",
}


@dataclass
class Shape:
    """One frozen answer: `right` is what must be read, None where it must be refused."""

    task: str
    name: str
    answer: str
    right: list | None
    may_refuse: bool
    schema_only: bool
    types: list | dict


def shapes_of(path: Path) -> list[Shape]:
    """The shapes of a file: `#### TASK name[types]`, the answer, `#### = reading`."""
    shapes, title, answer = [], "", []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("#### = "):
            shapes.append(shape(title, "\n".join(answer), line[7:].strip()))
            title = ""
        elif line.startswith("#### "):
            title, answer = line[5:], []
        elif title:
            answer.append(line)
    return shapes


def shape(title: str, answer: str, reading: str) -> Shape:
    """One shape of its title, its answer and the words of its reading."""
    name, _, types = title.rstrip("]").partition("[")
    task, _, name = name.partition(" ")
    schema_only = reading.endswith(" (schema)")
    reading = reading.removesuffix(" (schema)")
    reading, _, other = reading.partition(" or ")
    right = None if reading == "refuse" else items(task, READINGS.get(reading, reading))
    may_refuse = reading == "refuse" or other == "refuse"
    schema = asked(task, types) if types else SCHEMAS[task]
    return Shape(task, name, answer, right, may_refuse, schema_only, schema)


def asked(task: str, types: str) -> list | dict:
    """`人物,地点` as types; for events `任命:任命方|职务,登陆:台风` as types with their roles."""
    if task != "EE":
        return types.split(",")
    pairs = [one.partition(":") for one in types.split(",")]
    return {kind: roles.split("|") for kind, _, roles in pairs}


def items(task: str, reading: str) -> list:
    """`周明远/人物; 厦门/地点` as sorted tuples; an event's arguments are `role:name,...`."""
    if reading == "empty":
        return []
    if task != "EE":
        return sorted(tuple(part.strip().split("/")) for part in reading.split(";"))
    return sorted(event(*part.strip().split("/")) for part in reading.split("&"))


def event(kind: str, trigger: str, arguments: str = "") -> tuple:
    """An event as `told` writes it."""
    pairs = [tuple(pair.split(":")) for pair in arguments.split(",") if pair]
    return kind, trigger, tuple(sorted(pairs))


def told(task: str, found: list[dict]) -> list:
    """Items as sorted tuples."""
    if task == "NER":
        return sorted((item["name"], item["type"]) for item in found)
    if task == "RE":
        return sorted((item["head"], item["type"], item["tail"]) for item in found)
    return sorted(event_of(item["type"], item["trigger"], item["arguments"]) for item in found)


def event_of(kind: str, trigger: str, arguments: list[dict]) -> tuple:
    """A read event as `event` writes it."""
    return kind, trigger, tuple(sorted((one["role"], one["name"]) for one in arguments))


def judged(one: Shape, with_schema: bool) -> str:
    """`right`, `refused` (an answer that could be read), or `wrong` (ok, but not the reading)."""
    parsed = parse(one.answer, one.task, schema=one.types if with_schema else None)
    if not parsed.ok:
        return "right" if one.may_refuse else "refused"
    return "right" if told(one.task, parsed.items) == one.right else "wrong"
