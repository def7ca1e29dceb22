"""IE records for the tests: short ways to write one, and one of each task."""

from miniluotuo_utils.ie.spans import to_record
from miniluotuo_utils.records import check_record

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
        {"type": t, "trigger": w, "arguments": [{"name": n, "role": r} for r, n in roles.items()]} for t, w, roles in events
    ]
    return check_record(to_record(sentence, items, "EE", source="test"))


LIBAI = ner("李白和杜甫在长安，李白走了", ("杜甫", "人物", 3), ("李白", "人物", 0), ("长安", "地点", 6), ("李白", "人物", 9))
BOOK = rel("曹雪芹写了红楼梦，也改了红楼梦", ("红楼梦", "作者", "曹雪芹"), ("红楼梦", "编者", "曹雪芹"))
SPACE = event(LAUNCH, ("发射", "发射", {"航天器": "神舟五号"}), ("发射", "发射", {"火箭": "长征"}))
EXAMPLES = {"NER": LIBAI, "RE": BOOK, "EE": SPACE}
