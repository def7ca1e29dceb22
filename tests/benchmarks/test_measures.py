"""What the benchmarks measure with: a CRF and a Kneser-Ney model that can be checked by hand."""

import itertools
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpu
from bilstm_crf import BiLstmCrf, Crf, f1_of, trainer_of
from distillation import RENAMED
from extractors import Task, bought, row, table
from kneser_ney import FALLBACK, KneserNey, discounts
from tiny_base import student_bits, unseen

from miniluotuo_utils.data.catalog import card
from miniluotuo_utils.files import write_jsonl

# ---- CRF


def random_crf() -> tuple[Crf, torch.Tensor, torch.Tensor]:
    """A CRF of four tags, scores of three texts of 5, 3 and 1 characters, and their mask."""
    torch.manual_seed(3)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    return Crf(4), torch.randn(3, 5, 4), mask


def paths(crf: Crf, scores: torch.Tensor) -> dict[tuple, float]:
    """The score of every tag sequence of one text, added up step by step."""
    found = {}
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        total = crf.first[path[0]] + crf.last[path[-1]]
        total = total + sum(scores[at, tag] for at, tag in enumerate(path))
        total = total + sum(crf.steps[a, b] for a, b in itertools.pairwise(path))
        found[path] = total.item()
    return found


def test_the_partition_function_is_the_sum_over_all_paths():
    """A step over the padding, or a forgotten last transition, still trains, only worse."""
    crf, scores, mask = random_crf()
    made = crf.log_partition(scores, mask).tolist()
    for own, length, value in zip(scores, (5, 3, 1), made, strict=True):
        every = paths(crf, own[:length]).values()
        assert value == pytest.approx(math.log(sum(map(math.exp, every))), abs=1e-4)


def test_the_score_of_a_path_and_the_best_path_are_those_of_the_list():
    """Viterbi that walks back from the padding gives short texts another's tags."""
    crf, scores, mask = random_crf()
    best = crf.best(scores, mask)
    filled = torch.tensor([path + [0] * (5 - len(path)) for path in best])
    values = crf.score_of(scores, filled, mask).tolist()
    for own, length, path, value in zip(scores, (5, 3, 1), best, values, strict=True):
        every = paths(crf, own[:length])
        assert tuple(path) == max(every, key=every.get)
        assert value == pytest.approx(every[tuple(path)], abs=1e-4)


def test_a_sentence_is_read_alike_alone_and_in_a_batch():
    """Unpacked, the backward LSTM read the padding first: what is found depended on neighbours."""
    torch.manual_seed(0)
    model = BiLstmCrf("甲乙丙", ["O", "B-X", "I-X"]).eval()
    scores, _ = model(["甲乙", "丙甲乙甲丙"])
    alone, _ = model(["甲乙"])
    assert torch.allclose(scores[0, :2], alone[0], atol=1e-5)


def records(count: int) -> list[dict]:
    """Sentences in which every 李 and the character behind it are a name."""
    order, made = random.Random(0), []
    for _ in range(count):
        text = "".join(order.choices("甲乙丙丁李", k=order.randrange(2, 9))) + "。"
        names = [at for at in range(len(text) - 2) if text[at] == "李" and text[at + 1] != "李"]
        entities = [{"name": text[a : a + 2], "type": "姓名", "pos": [a, a + 2]} for a in names]
        made.append({"sentence": text, "source": "", "entities": entities})
    return made


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """A restart that loses Adam's averages or repeats a batch gives another model."""
    monkeypatch.setattr("bilstm_crf.HIDDEN", 8)
    monkeypatch.setattr("bilstm_crf.EMBEDDING", 4)
    monkeypatch.setattr("bilstm_crf.EPOCHS", 2)
    monkeypatch.setattr("bilstm_crf.BATCH", 8)
    train, gold = records(80), records(20)
    straight = trainer_of(train, gold, tmp_path / "a.safetensors")
    assert straight.run(60)

    # Broken off in the middle of the first epoch, and begun again from the file.
    broken = trainer_of(train, gold, tmp_path / "b.safetensors")
    steps = iter(range(3))
    monkeypatch.setattr("bilstm_crf.SAVED", 0)
    own = broken.step
    broken.step = lambda batch: next(steps) is None or own(batch)
    with pytest.raises(StopIteration):
        broken.run(60)
    resumed = trainer_of(train, gold, tmp_path / "b.safetensors")
    assert resumed.progress.batch == 3
    assert resumed.run(60)

    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert [e["f1"] for e in straight.progress.log] == [e["f1"] for e in resumed.progress.log]


def test_another_training_does_not_go_on_from_the_file(tmp_path):
    """A state of another split gave figures that nobody could explain."""
    trainer_of(records(40), records(5), tmp_path / "a.safetensors").save()
    with pytest.raises(ValueError, match="made_by"):
        trainer_of(records(60), records(5), tmp_path / "a.safetensors")


def test_perfect_predictions_score_one():
    """Predictions must carry the places that the score compares."""

    class Gold:
        def predict(self, sentences: list[str]) -> list[dict]:
            return gold

    gold = records(10)
    assert f1_of(Gold(), gold)["f1"] == 1


# ---- Kneser-Ney


def by_the_book(texts: list[str], order: int, alphabet: str) -> object:
    """Interpolated modified Kneser-Ney as the formulas say it, over dicts; "^" is the mark."""
    counts = [Counter() for _ in range(order + 1)]
    for text in texts:
        whole = "^" * (order - 1) + text
        for end in range(order, len(whole) + 1):
            for n in range(1, order + 1):
                counts[n][whole[end - n : end]] += 1
    for n in range(1, order):
        before = defaultdict(set)
        for gram in counts[n + 1]:
            before[gram[1:]].add(gram[0])
        for gram in counts[n]:
            if gram[0] != "^":
                counts[n][gram] = len(before[gram])
    cuts = [discounts(np.array(list(c.values()) or [0])) for c in counts]

    def probability(context: str, character: str) -> float:
        n = len(context) + 1
        lower = probability(context[1:], character) if context else 1 / (len(alphabet) + 1)
        after = {gram: c for gram, c in counts[n].items() if gram[:-1] == context}
        if not after:
            return lower
        cut = {gram: cuts[n][min(c, 3) - 1] for gram, c in after.items()}
        own = after.get(context + character, 0) - cut.get(context + character, 0)
        return (own + sum(cut.values()) * lower) / sum(after.values())

    return probability


def test_a_toy_by_hand():
    """Texts "ab" and "ac" as bigrams, with the discounts 0.5, 1, 1.5 for want of more n-grams.

    One character stands before each of a, b and c: as unigrams each counts 1 of 3, less 0.5, which
    leaves 1.5 / 3 to the four of a, b, c and the unknown: a = b = c = 1/6 + 1/8 = 7/24. Behind "a",
    b and c stand once each: (1 - 0.5) / 2 and (0.5 + 0.5) / 2 of the unigram: 1/4 + 7/48. Before a
    text, a stands twice: (2 - 1) / 2 + 1/2 · 7/24.
    """
    model = KneserNey(["ab", "ac"], 2)
    assert discounts(np.array([1, 1, 2])) == FALLBACK
    first, second = model.probabilities(["ab"])
    assert first == pytest.approx(1 / 2 + 7 / 48)
    assert second == pytest.approx(1 / 4 + 7 / 48)
    assert model.bits(["ab"]) == pytest.approx(-(math.log2(first) + math.log2(second)) / 2)

    # Behind "b" nothing was seen: the unigram alone; "z" is the unknown character.
    assert model.probabilities(["ba"])[1] == pytest.approx(7 / 24)
    assert model.probabilities(["bz"])[1] == pytest.approx(1 / 8)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_formulas(order):
    """Continuation counts taken from the wrong level look plausible, and are not Kneser-Ney."""
    draw = random.Random(order)
    texts = ["".join(draw.choices("aabbbcd", k=draw.randrange(1, 12))) for _ in range(60)]
    model, book = KneserNey(texts, order), by_the_book(texts, order, "abcd")
    asked = ["abcd", "dddd", "b", "aazab", texts[0]]
    made = iter(model.probabilities(asked))
    for text in asked:
        whole = "^" * (order - 1) + text
        for at, character in enumerate(text):
            context = whole[at : at + order - 1]
            assert next(made) == pytest.approx(book(context, character)), (context, character)


def test_probabilities_add_up_to_one():
    """A model that gives away more than one says fewer bits than the text has."""
    texts = ["abcabcabd", "abd", "cab"]
    model = KneserNey(texts, 3)
    for context in ("", "a", "ab", "zz", "bd"):
        total = sum(model.probabilities([context + c])[-1] for c in "abcd?")
        assert total == pytest.approx(1)


# ---- the table


def test_an_arm_without_a_file_is_not_measured_yet():
    """A table that leaves a line out looks complete."""
    gold = records(10)
    line = row(Task("cluener", gold, gold), "dictionary", gold, core_minutes=0.0, minutes=0.0)
    found = [{"arm": "dictionary", "rows": [line | {"sentences_per_second": 10}], "curves": {}}]
    assert line["f1"] == line["f1_on_lac_types"] == 1
    assert "| cluener | 词典 dictionary | 1.000 |" in table(found)
    assert table(found).count("not measured yet") == 13
    assert bought(found) == ""


# ---- the base


def test_bits_of_a_text_do_not_depend_on_its_neighbours(tiny):
    """Padding that counts as text makes a batch of unlike lengths cheap or dear."""
    short, long = "骆驼。", "骆驼走过沙漠，风停了。"
    alone = [student_bits(tiny, [text]) * len(text) for text in (short, long)]
    both = student_bits(tiny, [long, short]) * (len(short) + len(long))
    assert both == pytest.approx(sum(alone), rel=1e-4)


def test_a_sentence_that_was_trained_on_is_no_new_one(tmp_path):
    """Repeating what was learned by heart looks like copying."""
    known, new = "甲" * 39 + "。", "乙" * 39 + "。"
    write_jsonl(tmp_path / "sentences.jsonl", [{"sentence": known, "source": ""}])
    found = unseen([known + new + "短。"], [tmp_path / "sentences.jsonl"])
    assert found == [new]


# ---- one hour on a GPU


def test_trials_are_kept_and_the_search_ends_with_the_best(tmp_path, monkeypatch):
    """Called again, an hour on a card is not paid for twice; and where memory does not do, smaller
    batches are tried before nothing is measured."""
    done = []

    def tried(setting):
        done.append(setting)
        if setting.batch > 1:
            return {"failed": "out of memory"}
        fast = setting.compiled and setting.method == "full"
        return {"tokens_per_second": 200.0 if fast else 100.0}

    monkeypatch.setattr(gpu, "tried", tried)
    run = gpu.Run(tmp_path, until=math.inf, tiny=True, corpus=None)
    gpu.search(run)
    assert gpu.best(run, "full").compiled
    assert not gpu.best(run, "lora").compiled
    assert gpu.best(run, "full").batch == 1

    before = len(done)
    gpu.search(run)
    assert len(done) == before
    assert "| search | rows=mixed compiled=True | 200 tokens/s |" in gpu.table(run)
    assert "| full | – | 未测 not measured | MFU ≥ 55 % | – |" in gpu.table(run)


def test_a_part_without_time_is_left_for_the_next_call(tmp_path):
    """A trial that begins in the last minute is killed with the machine, and was paid for."""
    run = gpu.Run(tmp_path, until=0.0, tiny=False, corpus=None)
    with pytest.raises(gpu.NoTime):
        run.trial("full", gpu.Setting())


# ---- distillation


@pytest.mark.parametrize("name", RENAMED)
def test_gold_and_silver_call_a_person_the_same(name):
    """The gold said NAME and the annotator's labels 姓名: they taught what nobody was asked."""
    assert RENAMED[name]["人物"] in card(name).type_names.values()
