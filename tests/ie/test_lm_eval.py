"""The embedded IE tests as tasks of lm-evaluation-harness, which only the last test needs."""

import importlib.util
import json
import re

import pytest
import vocabularies
from general_ability import harness, source_of

from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.records import TASKS
from miniluotuo_utils.runtime import EMBEDDED

FOLDER = EMBEDDED / "lm_eval"


@pytest.fixture(scope="module")
def module():
    """`ie_task.py` loaded as the harness loads it: from its path."""
    spec = importlib.util.spec_from_file_location("ie_task", FOLDER / "ie_task.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_yaml_names_functions_that_exist(module):
    """A renamed function is found only when the harness starts."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    named = re.findall(r"!function ie_task\.(\w+)", "".join(texts.values()))
    assert set(texts) == {"_ie", "ner", "re", "ee"}
    assert len(named) == 6
    assert all(callable(getattr(module, name)) for name in named)
    for task in TASKS:
        assert f"dataset_kwargs: {{task: {task}}}" in texts[task.lower()]
        assert re.findall(r"metric: (\w+)", texts[task.lower()]) == list(module.METRICS[task])


def answers(task: str, doc: dict) -> str:
    """The gold of one document's slice, written as a student writes it."""
    gold, types = json.loads(doc["gold"]), json.loads(doc["types"])
    out: dict[str, list] = {}
    for item in gold[TASKS[task]]:
        if item["type"] in types:
            told = {
                "NER": lambda i: i["name"],
                "RE": lambda i: {"head": i["head"]["name"], "tail": i["tail"]["name"]},
                "EE": lambda i: {
                    "trigger": i["trigger"],
                    "arguments": {a["role"]: a["name"] for a in i["arguments"]},
                },
            }[task](item)
            out.setdefault(item["type"], []).append(told)
    return json.dumps(out, ensure_ascii=False)


def test_a_model_is_asked_in_its_own_template(module, tmp_path):
    """The harness asked every model in Alpaca's wrapper; it tells the task which model it is."""
    vocabularies.chatting("short").save_pretrained(tmp_path)
    first = module.questions_of("NER", pretrained=str(tmp_path), dtype="float32")["test"][0]
    assert first["prompt"].startswith("<|user|>")
    assert first["prompt"].endswith("<|assistant|>")
    vocabularies.bytewise().save_pretrained(tmp_path / "plain")
    plain = module.questions_of("NER", pretrained=str(tmp_path / "plain"))["test"][0]
    assert plain == module.questions_of("NER")["test"][0]


@pytest.mark.parametrize("task", list(TASKS))
def test_right_answers_get_all_points_in_any_order(module, task):
    """Slices that were not merged counted the gold of the others as missed."""
    docs = list(module.questions_of(task, version=1.0)["test"])
    found = [module.answered(doc, [answers(task, doc)]) for doc in docs]
    empty = [module.answered(doc, ["{}"]) for doc in docs]
    assert len(docs) >= len({doc["record"] for doc in docs}) >= 40
    assert all(doc["prompt"].endswith("### Response:") for doc in docs)
    whole = module.scored([one[module.METRICS[task][0]] for one in found])
    assert (whole.get("trigger") or whole)["micro"]["gold"] == sum(
        len(r[TASKS[task]]) for r in read_jsonl(EMBEDDED / f"{task.lower()}_test.jsonl")
    )
    for metric in module.METRICS[task]:
        value = getattr(module, metric)
        right = value([one[metric] for one in found])
        assert right > 0.95
        assert value([one[metric] for one in reversed(found)]) == right
        assert value([one[metric] for one in empty]) == 0
        assert value([one[metric] for one in found[:7]]) > 0.9, (
            "--limit: the last sentence is half asked"
        )
        assert json.dumps(found[0][metric], ensure_ascii=False), (
            "the harness writes samples as JSON"
        )


def test_a_task_says_which_data_of_the_hub_it_reads():
    """A group has no data set of its own; a task that makes its questions needs no network."""
    from types import SimpleNamespace

    settings = {
        "sciq": {"dataset_path": "allenai/sciq"},
        "cmmlu": {"task": [{"task": "cmmlu_law"}]},
        "cmmlu_law": {"dataset_path": "someone/cmmlu"},
        "miniluotuo_ner": {"custom_dataset": "ie_task.questions_of"},
    }
    index = {name: SimpleNamespace(cfg=cfg) for name, cfg in settings.items()}
    found = {name: source_of(index, name) for name in ("sciq", "cmmlu", "miniluotuo_ner")}
    assert found == {"sciq": "allenai/sciq", "cmmlu": "someone/cmmlu", "miniluotuo_ner": ""}


def test_the_harness_itself_examines_the_shipped_student():
    """A new version of the harness that hands over other arguments: seen only when it runs."""
    pytest.importorskip("lm_eval", reason="the harness is not installed: pip install lm_eval")
    found = harness(str(EMBEDDED / "student"), ["miniluotuo_ner"], limit=2)
    assert 0 <= found["miniluotuo_ner"]["f1,none"] <= 1
