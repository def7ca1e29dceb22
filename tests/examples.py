"""IE records for the tests: short ways to write one, and one of each task."""

from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.records import TASKS, check_record

LAUNCH = "神舟五号发射成功，长征火箭再次发射"


def ner(sentence, *entities):
    """A record from (name, type, start); start None leaves the place open."""
    found = [
        {"name": name, "type": kind, "pos": None if start is None else [start, start + len(name)]}
        for name, kind, start in entities
    ]
    return check_record({"sentence": sentence, "source": "test", "entities": found})


def rel(sentence, *triples):
    """A record from (head, type, tail), each name at its first place."""
    items = [{"head": h, "type": t, "tail": o} for h, t, o in triples]
    return check_record(to_record(sentence, items, "RE", source="test"))


def event(sentence, *events):
    """A record from (type, trigger, {role: name}), each name at its first place."""
    items = [
        {"type": t, "trigger": w, "arguments": [{"name": n, "role": r} for r, n in roles.items()]}
        for t, w, roles in events
    ]
    return check_record(to_record(sentence, items, "EE", source="test"))


LIBAI = ner(
    "李白和杜甫在长安，李白走了",
    ("杜甫", "人物", 3),
    ("李白", "人物", 0),
    ("长安", "地点", 6),
    ("李白", "人物", 9),
)
BOOK = rel(
    "曹雪芹写了红楼梦，也改了红楼梦", ("红楼梦", "作者", "曹雪芹"), ("红楼梦", "编者", "曹雪芹")
)
SPACE = event(LAUNCH, ("发射", "发射", {"航天器": "神舟五号"}), ("发射", "发射", {"火箭": "长征"}))
EXAMPLES = {"NER": LIBAI, "RE": BOOK, "EE": SPACE}

LETTERS = "甲乙丙丁，“aA"
KINDS = ("人物", "地点", "")


def random_thing(draw, sentence, **label):
    """A name of up to three characters, cut from a sentence."""
    start = draw.randrange(len(sentence))
    end = draw.randint(start + 1, min(start + 3, len(sentence)))
    return {"name": sentence[start:end], **label, "pos": [start, end]}


def random_relation(draw, sentence, kind, full):
    """A relation; `full`: head and tail have types, and it may have a slot."""
    slots = {}
    if full and draw.random() < 0.3:
        slots = {"inWork": random_thing(draw, sentence, type="")}
    tail = draw.choice(KINDS[:2]) if full else ""
    return {
        "head": random_thing(draw, sentence, type="人物" if full else ""),
        "type": kind,
        "tail": random_thing(draw, sentence, type=tail),
        **({"slots": slots} if full else {}),
    }


def random_event(draw, sentence, kind):
    """An event with up to three arguments."""
    trigger = random_thing(draw, sentence)
    roles = range(draw.randint(0, 3))
    arguments = [random_thing(draw, sentence, role=draw.choice(KINDS)) for _ in roles]
    return {
        "type": kind,
        "trigger": trigger["name"],
        "pos": trigger["pos"],
        "arguments": arguments,
    }


def random_item(draw, task, sentence, full):
    """An item of any type, the empty one too."""
    kind = draw.choice(KINDS)
    if task == "NER":
        return random_thing(draw, sentence, type=kind)
    if task == "RE":
        return random_relation(draw, sentence, kind, full)
    return random_event(draw, sentence, kind)


def random_record(draw, task, sentence=None, full=False):
    """A record whose names are cut from its sentence; `full`: as `random_relation` has it."""
    sentence = sentence or "".join(draw.choices(LETTERS, k=draw.randint(2, 12)))
    count = draw.randint(0, 4)
    items = [random_item(draw, task, sentence, full) for _ in range(count)]
    return check_record({"sentence": sentence, "source": "", TASKS[task]: items})
