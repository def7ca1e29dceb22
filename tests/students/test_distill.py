"""Distillation: one call for four methods, resumable as `finetune` is, and what it refuses."""

from copy import deepcopy
from importlib import import_module

import pytest
from datasets import Dataset
from tiny_random import tiny_random

from miniluotuo_utils.files import DataError
from miniluotuo_utils.ie import build_instructions
from miniluotuo_utils.students import Student, distill, finetune
from miniluotuo_utils.students.loop import NOBODY
from miniluotuo_utils.students.objectives import attention_parts, dropouts
from miniluotuo_utils.students.teachers import Kept, common_vocabulary
from miniluotuo_utils.writing import Alone, Taken

ROWS = [
    {"instruction": f"数到{n}", "input": "", "output": "一二三四五六七八九"[:n], "source": "x"}
    for n in range(1, 9)
]
SHORT = {"batch_size": 4, "max_steps": 3, "learning_rate": 1e-3, "half": False}


def gpt2(seed: int = 0, **other) -> Student:
    """A tiny random GPT-2 of Wenzhong's configuration."""
    return tiny_random("wenzhong-110m", seed, **other)


def again(student: Student) -> Student:
    """An equal copy."""
    return Student("copy", deepcopy(student.model), student.tokenizer)


def parts(training) -> list[float]:
    """The teacher's part of the loss, step by step."""
    return [line["distillation"] for line in training.log]


@pytest.mark.parametrize("name", ["wenzhong-110m", "tiny", "t5-61m"])
def test_an_equal_copy_teaches_nothing_new(name):
    """A shift by one, dropout in the teacher or an unequal mask would show here first."""
    student = tiny_random(name)
    rows = [{**row, "output": "one two"} for row in ROWS] if name == "t5-61m" else ROWS
    training = distill(student, rows, teacher=again(student), method="logits", **SHORT)
    assert parts(training)[0] < 1e-3


def test_the_first_loss_is_the_one_by_hand():
    """What notebook 06 writes in four lines and what the package adds up must be one number."""
    import torch

    from miniluotuo_utils.tokens import collate, encode

    student, teacher = gpt2(0), gpt2(1)
    student.model.eval()
    batch = collate(encode(ROWS[:4], student.tokenizer).rows, student.tokenizer.pad_token_id)
    wanted = batch["labels"][:, 1:] != -100
    ours, theirs = (
        (one.model(batch["input_ids"], use_cache=False).logits[:, :-1][wanted] / 2).log_softmax(-1)
        for one in (student, teacher)
    )
    far = 4 * torch.nn.functional.kl_div(ours, theirs, reduction="sum", log_target=True)

    how = {**SHORT, "max_steps": 1}
    training = distill(student, ROWS[:4], teacher=teacher, method="logits", **how)
    assert parts(training)[0] == pytest.approx(far.item() / wanted.sum().item(), abs=1e-4)


def test_logits_bring_a_student_nearer_to_its_teacher():
    """A loss with the wrong sign still falls in its labels' part."""
    teacher = gpt2(1)
    finetune(teacher, ROWS, max_steps=20, batch_size=4, learning_rate=3e-3)
    how = {**SHORT, "max_steps": 40, "learning_rate": 3e-3, "epochs": 30}
    training = distill(gpt2(0), ROWS, teacher=teacher, method="logits", share=1.0, **how)
    assert parts(training)[-1] < 0.7 * parts(training)[0]


def test_kept_distributions_give_the_same_training(tmp_path):
    """The k best of all tokens are all tokens; float16 is what is left of a difference."""
    whole = gpt2().model.config.vocab_size
    there = tmp_path / "kept"
    how = {"method": "logits", "temperature": 1.0, **SHORT}
    straight = distill(gpt2(0), ROWS, teacher=[gpt2(1), gpt2(2)], **how)
    first = distill(gpt2(0), ROWS, teacher=[gpt2(1), gpt2(2)], top_k=whole, kept=there, **how)
    later = distill(gpt2(0), ROWS, teacher=there, **how)
    assert parts(first) == pytest.approx(parts(straight), abs=5e-3)
    assert parts(first) == parts(later)
    disk = Kept(there)
    assert disk.ids[:1].nbytes + disk.values[:1].nbytes == 6 * whole + 2, "bytes a label"
    assert [len(part) for part in disk.of([NOBODY, NOBODY])] == [0, 0], "rows that fill up"


def test_kept_distributions_of_other_rows_are_refused(tmp_path):
    """In another order every token would be taught the distribution of another place."""
    how = {"method": "logits", **SHORT}
    distill(gpt2(0), ROWS, teacher=gpt2(1), top_k=4, kept=tmp_path / "kept", **how)
    with pytest.raises(DataError, match="field rows"):
        distill(gpt2(0), ROWS[::-1], teacher=tmp_path / "kept", **how)
    with pytest.raises(DataError, match="field vocabulary"):
        distill(tiny_random("luotuo-312m"), ROWS, teacher=tmp_path / "kept", **how)
    with pytest.raises(DataError, match="field temperature"):
        distill(gpt2(0), ROWS, teacher=tmp_path / "kept", temperature=3.0, **how)
    with pytest.raises(DataError, match="field teachers"):
        distill(gpt2(0), ROWS, teacher=gpt2(2), top_k=4, kept=tmp_path / "kept", **how)
    with pytest.raises(ValueError, match="what it holds: leave top_k and kept out"):
        distill(gpt2(0), ROWS, teacher=tmp_path / "kept", top_k=8, kept=tmp_path / "k", **how)


def test_a_teacher_that_dies_goes_on_where_it_was(tmp_path, monkeypatch):
    """Half of a row's distributions in the files would move all that come after it."""
    from miniluotuo_utils.students import teachers

    asked = []
    real = teachers.write_rows

    def dies(folder, *arguments):
        real(folder, *arguments)
        asked.append(len(arguments[2]))
        if len(asked) == 2:
            with open(folder / teachers.IDS, "ab") as file:
                file.write(b"half a row")
            raise KeyboardInterrupt

    monkeypatch.setattr(teachers, "write_rows", dies)
    how = {"method": "logits", "top_k": 4, "kept": tmp_path / "kept", **SHORT, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        distill(gpt2(0), ROWS, teacher=gpt2(1), **how)
    assert asked == [2, 2]
    with pytest.raises(DataError, match="did not come to an end"):
        distill(gpt2(0), ROWS, teacher=tmp_path / "kept", method="logits", **SHORT)
    resumed = distill(gpt2(0), ROWS, teacher=gpt2(1), **how)
    assert sum(asked) == len(ROWS), "asked about no row twice"

    straight = distill(gpt2(0), ROWS, teacher=gpt2(1), **{**how, "kept": tmp_path / "other"})
    assert parts(resumed) == parts(straight)


def test_two_processes_do_not_keep_in_one_folder(tmp_path):
    """Both added to the same files: each label then read the distribution of another."""
    kept = tmp_path / "kept"
    how = {"teacher": gpt2(1), "method": "logits", "top_k": 4, "kept": kept, **SHORT}
    with Alone(kept), pytest.raises(Taken, match="another process is writing kept"):
        distill(gpt2(0), ROWS, **how)
    assert not kept.exists()
    first = distill(gpt2(0), ROWS, **how)

    # Whole, it is read by as many as like.
    with Alone(kept):
        assert parts(distill(gpt2(0), ROWS, **how)) == parts(first)


def test_a_function_that_dies_labels_nothing_twice(tmp_path, monkeypatch):
    """A paid teacher's answers were lost with the process that asked for them."""
    module = import_module("miniluotuo_utils.students.distill")
    monkeypatch.setattr(module, "ASKED", 3)
    asked = []

    def teacher(rows):
        if len(asked) == 3:
            asked.append("died")
            raise ConnectionError
        asked.extend(row["instruction"] for row in rows)
        return [{**row, "output": "好"} for row in rows]

    questions = [{**row, "output": ""} for row in ROWS]
    how = {"teacher": teacher, "folder": tmp_path / "training", **SHORT}
    with pytest.raises(ConnectionError):
        distill(gpt2(), questions, **how)
    distill(gpt2(), questions, **how)
    asked.remove("died")
    assert asked == [row["instruction"] for row in ROWS]

    # Another teacher does not go on with what this one said.
    with pytest.raises(DataError):
        distill(gpt2(), questions, **{**how, "teacher": list})


@pytest.mark.parametrize("features", ["hidden", "relations"])
def test_features_of_another_depth_and_width(features):
    """Teacher and student seldom have one shape; projections must not stay on the student."""
    student, teacher = gpt2(0), gpt2(1, hidden_size=96, num_hidden_layers=3)
    names = set(student.model.state_dict())
    how = {**SHORT, "max_steps": 12, "epochs": 10}
    training = distill(
        student, ROWS, teacher=teacher, method="features", features=features, share=0.9, **how
    )
    assert parts(training)[-1] < parts(training)[0]
    assert set(student.model.state_dict()) == names


@pytest.mark.parametrize("features", ["hidden", "relations"])
def test_the_features_of_an_equal_copy_are_at_no_distance(features):
    """Other layers, or tokens of padding, would show here."""
    student = gpt2()
    how = {"method": "features", "features": features, **SHORT, "max_steps": 1}
    assert parts(distill(student, ROWS, teacher=again(student), **how))[0] < 1e-6


def test_the_first_error_of_hidden_states_is_the_one_by_hand():
    """Squares over the teacher's own, a mean over layers and then over tokens."""
    import torch

    from miniluotuo_utils.tokens import collate, encode

    student, teacher = gpt2(0), gpt2(1)
    batch = collate(encode(ROWS[:4], student.tokenizer).rows, student.tokenizer.pad_token_id)
    with torch.no_grad():
        ours, theirs = (
            one.model.eval()(batch["input_ids"], output_hidden_states=True).hidden_states
            for one in (student, teacher)
        )
    far = [(a - b).square().sum(-1) / b.square().sum(-1) for a, b in zip(ours, theirs, strict=True)]
    real = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for number, row in enumerate(encode(ROWS[:4], student.tokenizer).rows):
        real[number, : len(row["input_ids"])] = True
    by_hand = torch.stack(far).mean(0)[real].mean().item()
    how = {"method": "features", **SHORT, "max_steps": 1}
    training = distill(student, ROWS[:4], teacher=teacher, **how)
    assert parts(training)[0] == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("features", ["hidden", "relations"])
def test_rows_that_only_fill_up_are_at_no_distance(features):
    """The mean over none of their tokens was NaN, and with it the training of all processes."""
    from types import SimpleNamespace

    from miniluotuo_utils.students.objectives import Features
    from miniluotuo_utils.students.teachers import Teachers
    from miniluotuo_utils.tokens import collate, encode
    from miniluotuo_utils.tokens.columns import as_dataset

    student, teacher = gpt2(0), gpt2(1)
    objective = Features(Teachers(student, [teacher]), 0.5, features)
    rows = encode(ROWS, student.tokenizer).rows
    objective.begin(student, as_dataset(rows), SimpleNamespace(seed=0))
    pad = student.tokenizer.pad_token_id
    filler = collate([{"input_ids": [pad], "labels": [-100]}] * 2, pad)
    far = objective.compared(student.model, filler, False)[2]
    assert far.item() == 0


def test_an_encoder_decoders_states_are_as_many_as_its_decoders():
    """`IndexError`, of a decoder that is not as deep as its encoder."""
    deeper = {"num_hidden_layers": 3, "num_decoder_layers": 2}
    student, teacher = tiny_random("t5-61m"), tiny_random("t5-61m", 1, **deeper)
    rows = [{**row, "output": "one two"} for row in ROWS]
    training = distill(student, rows, teacher=teacher, method="features", **SHORT)
    assert training.steps == 3


@pytest.mark.parametrize("name", ["wenzhong-110m", "tiny", "t5-61m", "gpt-neo-125m"])
def test_queries_keys_and_values_are_found(name):
    """Each family names them otherwise, GPT-2 has them in one."""
    assert sum(cut for _, cut in attention_parts(tiny_random(name).model)) == 3


def test_an_attention_that_cannot_be_cut_says_so():
    """BLOOM mixes queries, keys and values of one head: a third of its output is none of them."""
    with pytest.raises(ValueError, match="features='hidden'"):
        attention_parts(tiny_random("bloom-560m").model)


@pytest.mark.parametrize("own", [1.0, 0.0])
def test_on_policy_is_trls(own):
    """An equal copy has nothing to say, whoever wrote the answers."""
    student = gpt2()
    how = {**SHORT, "own": own, "answer": 6}
    training = distill(student, ROWS, teacher=again(student), method="on_policy", **how)
    assert parts(training)[0] < 1e-3
    assert training.steps == 3
    assert training.tokens > 0


def until(folder, step=None, **how):
    """Six steps, broken off at one."""

    def show(training):
        if step and training.steps >= step and not training.seconds:
            raise KeyboardInterrupt

    how = {**SHORT, "max_steps": 6, "checkpoints": 6, "epochs": 10, **how}
    return distill(gpt2(0), ROWS, teacher=gpt2(1), folder=folder, show=show, **how)


OTHERWISE = {
    "logits": {"temperature": 3.0},
    "features": {"features": "relations"},
    "on_policy": {"temperature": 3.0},
}


@pytest.mark.parametrize("step", [4, 5], ids=["in an epoch", "between two"])
@pytest.mark.parametrize(
    "how",
    [
        {"method": "logits"},
        {"method": "features"},
        {"method": "on_policy", "own": 0.5, "answer": 6},
    ],
    ids=lambda how: how["method"],
)
def test_a_distillation_goes_on_where_it_was_killed(how, step, tmp_path):
    """Projections, samples and the order of rows belong to the training, too: without them it is
    another one."""
    with pytest.raises(KeyboardInterrupt):
        until(tmp_path / "killed", step=step, **how)
    resumed = until(tmp_path / "killed", **how)
    straight = until(tmp_path / "straight", **how)
    assert parts(resumed) == pytest.approx(parts(straight), abs=1e-6)
    with pytest.raises(ValueError, match="another training"):
        until(tmp_path / "straight", **how, **OTHERWISE[how["method"]])


def test_a_cut_teacher_is_still_the_same_teacher(tmp_path):
    """Interrupted in a notebook and called again: the folder held "another training"."""
    teacher = padded_teacher()
    how = {"teacher": teacher, "method": "on_policy", "answer": 4, "folder": tmp_path, **SHORT}

    def stop(training):
        if training.steps == 2 and not training.seconds:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(gpt2(0), ROWS, show=stop, **how)
    assert distill(gpt2(0), ROWS, **how).steps == 3


def test_an_adapters_own_dropout_stays():
    """A student that was loaded with an adapter lost it, against what is promised."""
    from peft import LoraConfig, get_peft_model

    model = gpt2().model
    wrapped = get_peft_model(model, LoraConfig(target_modules=["c_attn"], lora_dropout=0.05))
    assert all(value != 0.05 for _, _, value in dropouts(wrapped))


@pytest.mark.parametrize(("name", "share"), [("bloom-560m", "hidden_dropout"), ("t5-61m", "p")])
def test_every_share_of_dropout_is_found(name, share):
    """BLOOM and BART call theirs otherwise, and a distillation left it on."""
    assert share in {found for _, found, _ in dropouts(tiny_random(name).model)}


def test_dropout_comes_back():
    """A student that was distilled would else be fine-tuned without it ever after."""
    student = gpt2()
    before = list(dropouts(student.model))
    distill(student, ROWS, teacher=gpt2(1), method="logits", **SHORT)
    assert list(dropouts(student.model)) == before
    assert before


def test_padding_rows_of_a_student_are_no_part_of_the_rest(tmp_path):
    """Kept, the bucket of all other tokens held rows that no token has; live, it did not."""
    teacher, how = gpt2(1), {"method": "logits", "temperature": 1.0, **SHORT, "max_steps": 1}
    found = []
    for kept in ({}, {"top_k": teacher.model.config.vocab_size, "kept": tmp_path / "kept"}):
        student = gpt2(0)
        student.model.resize_token_embeddings(student.model.config.vocab_size + 47)
        found += parts(distill(student, ROWS[:4], teacher=teacher, **kept, **how))
    assert found[0] == pytest.approx(found[1], abs=5e-3)


# ---- what is refused


def test_a_teacher_of_virtual_tokens_teaches_with_them():
    """Its virtual tokens took no part: its base taught, which had learned nothing."""
    import torch

    from miniluotuo_utils.students.teachers import Teachers
    from miniluotuo_utils.tokens import collate, encode

    student, teacher = gpt2(0), gpt2(1)
    finetune(teacher, ROWS, "prompt", max_steps=1, batch_size=4, half=False)
    [row] = encode(ROWS[:1], student.tokenizer).rows
    batch = collate([row], student.tokenizer.pad_token_id)
    with torch.no_grad():
        whole = teacher.model(batch["input_ids"]).logits[0, -len(row["input_ids"]) :]
    learned = torch.tensor([label != -100 for label in row["labels"][1:]])
    by_hand = whole[: len(learned)][learned].log_softmax(-1)
    torch.testing.assert_close(Teachers(student, [teacher]).log_probs(batch, 1.0), by_hand)
    for method in ("features", "on_policy"):
        with pytest.raises(ValueError, match="virtual tokens, .* teaches by logits"):
            distill(gpt2(0), ROWS, teacher=teacher, method=method, **SHORT)


def test_a_teacher_on_another_device_is_told():
    """`Expected all tensors to be on the same device`, after all rows were encoded."""
    teacher = gpt2(1)
    teacher.model.to("meta")
    with pytest.raises(ValueError, match="is on cpu, its teacher .* on meta: load both"):
        distill(gpt2(0), ROWS, teacher=teacher, method="logits", **SHORT)


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        (ROWS[:3], {}, r"whole steps of 4 rows .*, found 3"),
        (ROWS, {"accumulate": 3}, "whole steps of 12 rows"),
        (ROWS, {"answer": 600}, "room for 512 tokens, found 6.. for the longest prompt"),
    ],
)
def test_on_policy_says_what_it_cannot_take(rows, how, said):
    """It took no step and returned; or `IndexError: index out of range in self`."""
    how = {"answer": 4, **SHORT, **how}
    with pytest.raises(ValueError, match=said):
        distill(gpt2(0), rows, teacher=gpt2(1), method="on_policy", **how)


def test_a_student_does_not_teach_itself():
    """The loss would be 0 from the first step on, and look like success."""
    student = gpt2()
    with pytest.raises(ValueError, match="its own teacher"):
        distill(student, ROWS, teacher=student, method="logits", **SHORT)


def test_other_vocabularies_are_refused_with_the_way_out():
    """Token 17 of one is not token 17 of the other: the loss falls and nothing is learned."""
    with pytest.raises(ValueError, match="method='labels'"):
        distill(gpt2(), ROWS, teacher=tiny_random("luotuo-312m"), method="logits", **SHORT)


def test_a_student_that_shares_weights_with_its_teacher_is_its_own():
    """An adapter is put into the layers of the model that it wraps: the teacher learned, too."""
    from peft import LoraConfig, get_peft_model

    teacher = gpt2()
    wrapped = get_peft_model(teacher.model, LoraConfig(target_modules=["c_attn"]))
    with pytest.raises(ValueError, match="its own teacher"):
        distill(
            Student("me", wrapped, teacher.tokenizer),
            ROWS,
            teacher=teacher,
            method="logits",
            update="lora",
            **SHORT,
        )


@pytest.mark.parametrize("method", ["logits", "features", "on_policy"])
def test_a_teacher_that_has_no_room_says_so(method):
    """`IndexError: index out of range in self`, of an embedding of positions."""
    teacher = gpt2(1, max_position_embeddings=24)
    with pytest.raises(ValueError, match="room for 24 tokens, found .*: give max_length=24"):
        distill(gpt2(0), ROWS, teacher=teacher, method=method, **SHORT)


@pytest.mark.parametrize("how", [{}, {"top_k": 4, "kept": "kept"}])
def test_a_teacher_without_numbers_is_told_and_not_kept(how, tmp_path, monkeypatch):
    """The student's learning rate was blamed, and what was kept looked whole."""
    monkeypatch.chdir(tmp_path)
    teacher = gpt2(1)
    teacher.model.transformer.ln_f.weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="scores of the teacher .* are nan"):
        distill(gpt2(0), ROWS, teacher=teacher, method="logits", **how, **SHORT)
    if how:
        with pytest.raises(DataError, match="did not come to an end"):
            Kept("kept")


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (lambda rows: None, "found 1 of NoneType for 8, expected a row for each"),
        (lambda rows: "好", "found 1 of str for 8"),
        (lambda rows: {"output": "好"}, "found 1 of dict for 8"),
        (lambda rows: ["好"] * len(rows), "found 8 of str for 8"),
        (lambda rows: rows[1:], "found 7 of dict for 8"),
        (lambda rows: rows[::-1], "teacher, row 0, field instruction: found '数到8', expected '数"),
        (
            lambda rows: [{"output": "好", "instruction": "数到1"}] * 8,
            "teacher, row 1, field instr",
        ),
    ],
)
def test_a_function_gives_each_row_back(teacher, said, tmp_path):
    """`TypeError: 'NoneType' object is not iterable`; or the answers of other questions, kept."""
    folder = tmp_path / "training"
    with pytest.raises(DataError, match=said):
        distill(gpt2(), ROWS, teacher=teacher, folder=folder, **SHORT)
    assert not (folder / "labelled.jsonl").exists()


def test_two_processes_do_not_ask_for_one_folder(tmp_path):
    """Both asked for every row, and the folder held the first ones twice, the last ones never."""
    folder, asked = tmp_path / "training", []
    folder.mkdir()

    def teacher(rows):
        asked.extend(rows)
        return [{**row, "output": "好"} for row in rows]

    with Alone(folder / "labelled.jsonl"), pytest.raises(DataError, match="another process"):
        distill(gpt2(), ROWS, teacher=teacher, folder=folder, **SHORT)
    assert not asked


class Says:
    """A teacher of which there are several."""

    def __init__(self, word: str) -> None:
        self.word = self.fingerprint = word

    def __call__(self, rows):
        return [{**row, "output": self.word} for row in rows]


def test_another_teacher_of_a_class_does_not_go_on_with_its_answers(tmp_path, capsys):
    """The second was never asked, and the student's record named it."""
    how = {"folder": tmp_path / "training", **SHORT}
    distill(gpt2(), ROWS, teacher=Says("好"), **how)
    with pytest.raises(DataError, match="another teacher .*Says 好.*Says 坏"):
        distill(gpt2(), ROWS, teacher=Says("坏"), **how)
    distill(gpt2(), ROWS, teacher=Says("好"), **how)
    assert "8 of 8 rows were answered by Says 好" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "error"), [({"epoch": 3}, TypeError), ({"update": "qlora"}, ValueError)]
)
def test_what_cannot_be_trained_is_said_before_a_teacher_is_paid(how, error):
    """A misspelt option was found after all answers were there, and without a folder lost them."""
    asked = []
    with pytest.raises(error, match="epoch|qlora"):
        distill(gpt2(), ROWS, teacher=asked.extend, **SHORT, **how)
    assert not asked


def test_a_table_of_questions_is_labelled():
    """`dictionary update sequence element #0 has length 11`, for what `finetune` takes."""
    import pandas

    training = distill(gpt2(), pandas.DataFrame(ROWS), teacher=Says("好"), **SHORT)
    assert training.steps == 3


def test_a_function_that_writes_into_its_rows_is_caught():
    """It was compared with its own rows, so that any question was the right one."""

    def teacher(rows):
        for row in rows:
            row.update(instruction="别的问题", output="好")
        return rows

    with pytest.raises(DataError, match="row 0, field instruction: found '别的问题'"):
        distill(gpt2(), ROWS, teacher=teacher, **SHORT)


def test_a_function_may_give_a_generator():
    asked = [{**row, "output": ""} for row in ROWS]
    training = distill(
        gpt2(), asked, teacher=lambda rows: ({**row, "output": "好"} for row in rows), **SHORT
    )
    assert training.steps == 3


def test_padding_rows_are_cut(tmp_path):
    """Wenzhong's 3.5 B has 50,304 rows for 50,257 tokens; the small one has none to spare."""
    student, teacher = gpt2(0), gpt2(1)
    size = student.model.config.vocab_size
    teacher.model.resize_token_embeddings(size + 47)
    assert common_vocabulary(student, teacher) == size
    distill(student, ROWS, teacher=teacher, method="logits", **SHORT)
    distill(student, ROWS, teacher=teacher, method="on_policy", answer=4, **SHORT)
    student.model.resize_token_embeddings(size - 1)
    with pytest.raises(ValueError, match="cannot say every token"):
        common_vocabulary(student, teacher)


def test_silver_rows_are_no_examination():
    """A loss on rows that the teacher wrote says how well it is copied."""
    with pytest.raises(ValueError, match="silver"):
        distill(gpt2(), ROWS, evaluation=0.1, **SHORT)
    with pytest.raises(ValueError, match="new answers of the student"):
        distill(gpt2(), ROWS, method="on_policy", evaluation=0.1, **SHORT)

    # Rows know what they are made of, whatever is learned beside them.
    entities = [{"name": "骆驼", "type": "动物", "pos": [0, 2]}]
    record = {"sentence": "骆驼走过沙漠。", "source": "x", "entities": entities}
    gold, silver = (
        build_instructions([one] * 4, "NER", ["动物"])
        for one in (record, record | {"annotation": "silver"})
    )
    how = {"teacher": gpt2(1), "method": "logits", "evaluation": 0.25, **SHORT}
    with pytest.raises(DataError, match="row 4, field annotation: found 'silver'"):
        distill(gpt2(), gold + silver, **how)
    assert distill(gpt2(), gold + gold, **how).evaluations
    with pytest.raises(DataError, match="银标不能当考题"):
        finetune(gpt2(), Dataset.from_list(silver), evaluation=0.25, **SHORT)


def test_several_processes_do_not_ask_one_teacher(monkeypatch, tmp_path):
    """Each would pay for all rows, and two writers make one file twice as long."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for how in ({"teacher": list}, {"method": "logits", "top_k": 4, "kept": tmp_path / "kept"}):
        with pytest.raises(ValueError, match="2 processes train"):
            distill(gpt2(), ROWS, **SHORT, **how)
    with pytest.raises(ValueError, match="on_policy is for one"):
        distill(gpt2(), ROWS, teacher=gpt2(1), method="on_policy", **SHORT)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda kept: (kept / "ids.bin").write_bytes(b"more"), "ids.bin: found 4 bytes, expected"),
        (lambda kept: (kept / "values.bin").unlink(), "values.bin: found 0 bytes, expected"),
        (lambda kept: (kept / "starts.npy").unlink(), "starts.npy: found no whole file"),
        (lambda kept: (kept / "starts.npy").write_bytes(b"x"), "starts.npy: found no whole file"),
        (lambda kept: (kept / "kept.json").write_text("{"), "kept/kept.json: not JSON"),
    ],
)
def test_a_folder_of_distributions_that_is_damaged_is_told(broken, said, tmp_path):
    """Two writers, or a full disk: what is read would be another token's."""
    how = {"method": "logits", **SHORT}
    kept = tmp_path / "kept"
    distill(gpt2(0), ROWS, teacher=gpt2(1), top_k=4, kept=kept, **how)
    broken(kept)
    with pytest.raises(DataError, match=said):
        distill(gpt2(0), ROWS, teacher=kept, **how)


def test_what_is_no_folder_of_distributions_is_told(tmp_path):
    """`found no kept.json`, for the folder of a student that was to teach."""
    how = {"method": "logits", **SHORT}
    with pytest.raises(DataError, match=r"found no kept.json.*teacher=load_student"):
        distill(gpt2(0), ROWS, teacher=tmp_path, **how)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(Taken, match="notes.txt is a file, expected a folder"):
        distill(gpt2(0), ROWS, teacher=gpt2(1), top_k=4, kept=tmp_path / "notes.txt", **how)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"method": "logit"}, "logits"),
        ({"method": "logits"}, "found nothing"),
        ({"method": "logits", "top_k": 4, "teacher": 0}, "belong together"),
        ({"method": "labels", "teacher": 0}, "a function of rows"),
        ({"method": "logits", "share": 0.0}, "share is 0.0"),
        ({"method": "features", "update": "lora"}, "use full"),
        ({"method": "on_policy", "own": 1.5}, "own is 1.5"),
        ({"method": "features", "features": "attention"}, "relations"),
        ({"method": "logits", "temperature": 0}, "temperature is 0"),
        ({"method": "logits", "temperature": float("nan")}, "temperature is nan"),
        ({"method": "logits", "top_k": 2.5, "kept": "kept"}, "top_k is 2.5; expected a whole"),
        ({"method": "logits", "beta": 1.5}, "beta is 1.5"),
        ({"method": "logits", "top_k": 0, "kept": "kept"}, "top_k is 0"),
        ({"method": "on_policy", "answer": 0}, "answer is 0"),
        ({"method": "logits", "own": 0.5}, "logits does not take it"),
        ({"method": "labels", "temperature": 2.0}, "labels does not take it"),
    ],
)
def test_what_does_not_go_together_is_said(how, said):
    """It would else be found after the teacher was asked for an hour, or never."""
    with pytest.raises(ValueError, match=said):
        distill(gpt2(), ROWS, **{**SHORT, **how})


def test_one_teacher_judges_or_shows_its_states():
    """Only distributions have a mean."""
    with pytest.raises(ValueError, match="one teacher"):
        distill(gpt2(0), ROWS, teacher=[gpt2(1), gpt2(2)], method="features", **SHORT)


# ---- the pairs of the mission, on tiny random models of their configurations


def padded_teacher() -> Student:
    """Wenzhong's large one: the same vocabulary, with rows that no token has."""
    teacher = tiny_random("wenzhong-3.5b", 1, hidden_size=96, num_hidden_layers=3)
    teacher.model.resize_token_embeddings(teacher.model.config.vocab_size + 47)
    return teacher


@pytest.mark.parametrize(
    "how",
    [
        {"method": "logits"},
        {"method": "features"},
        {"method": "features", "features": "relations"},
        {"method": "on_policy", "answer": 4},
        {"method": "logits", "update": "lora"},
    ],
    ids=str,
)
def test_wenzhong_large_to_small(how):
    """50,304 rows against 50,257: TRL alone refuses the pair of the course."""
    training = distill(gpt2(), ROWS, teacher=padded_teacher(), **how, **SHORT)
    assert training.steps == 3
    assert all(part > 0 for part in parts(training))


def test_wenzhong_large_to_bert_vocabulary():
    """The third student of the project can only learn answers, and the error says so."""
    with pytest.raises(ValueError, match="method='labels'"):
        distill(
            tiny_random("luotuo-312m"), ROWS, teacher=padded_teacher(), method="logits", **SHORT
        )
    training = distill(tiny_random("luotuo-312m"), ROWS, method="labels", **SHORT)
    assert parts(training) == [line["loss"] for line in training.log]


@pytest.mark.parametrize(("large", "small"), [("t5-738m", "t5-61m"), ("gpt2-1.5b", "gpt2-124m")])
@pytest.mark.parametrize("how", [{"method": "logits"}, {"method": "features"}], ids=str)
def test_the_pairs_of_lamini(large, small, how):
    """English rows, for T5's vocabulary has no Chinese; both families read their own way."""
    rows = [
        {**row, "instruction": f"Count to {n}", "output": "one two three"[: n + 2]}
        for n, row in enumerate(ROWS)
    ]
    teacher = tiny_random(large, 1, hidden_size=96, num_hidden_layers=3)
    training = distill(tiny_random(small), rows, teacher=teacher, **how, **SHORT)
    assert training.steps == 3


def test_on_policy_takes_no_encoder_decoder():
    """TRL's trainer knows causal models only: it would fail in its own words."""
    with pytest.raises(ValueError, match="use logits"):
        distill(tiny_random("t5-61m"), ROWS, method="on_policy", **SHORT)
