"""Students: trained by every method, saved, read back, merged; killed and resumed."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tiny_random import saved, tiny_random

from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.jobs.train import train_files
from miniluotuo_utils.prompts import prompt
from miniluotuo_utils.students import ZOO, finetune, load_student, merge, save
from miniluotuo_utils.students.checkpoints import last_checkpoint
from miniluotuo_utils.students.finetune import (
    isolates_packed_rows,
    packs,
    training_rows,
    unpack,
)
from miniluotuo_utils.students.loop import evened, has_plain_head, summed_loss
from miniluotuo_utils.students.methods import METHODS, TOKENS, VIRTUAL, Adapter, peft_config
from miniluotuo_utils.tokens import collate, encode, pack
from miniluotuo_utils.tokens.columns import as_dataset

ROWS = [
    {"instruction": f"数到{n}", "input": "", "output": "一二三四五六七八九"[:n], "source": "x"}
    for n in range(1, 10)
] * 2
CPU = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def logits(student, text="### Response:"):
    """Logits of one text, to compare students by."""
    import torch

    ids = student.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    extra = {"decoder_input_ids": ids[:, :1]} if student.model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return (
            student.model(ids, **extra, use_cache=False).logits[:, -ids.shape[1] :].float()
        )  # without learned virtual tokens


@pytest.fixture(scope="module")
def trained():
    """The tiny student after a few steps on nine rows."""
    return finetune(
        load_student("tiny"), ROWS, epochs=3, batch_size=2, max_length=64 * 2, learning_rate=1e-3
    )


def test_the_loss_falls_and_the_metrics_agree(trained):
    """A trainer whose labels were all masked once ran happily."""
    metrics = trained.metrics()
    assert trained.figures().keys() == metrics.keys(), "its name in earlier versions"
    assert trained.log[-1]["loss"] < trained.log[0]["loss"]
    assert metrics["steps"] == len(trained.log)
    encoded = encode(ROWS, trained.student.tokenizer, 128)
    first_tokens = len(encoded.rows)  # of each packed row the first token is predicted by none
    assert metrics["supervised_tokens"] == 3 * encoded.supervised, first_tokens
    assert trained.tokens == 3 * sum(len(r["input_ids"]) for r in encoded.rows), first_tokens
    assert metrics["trainable_parameters"] == metrics["parameters"] == trained.student.parameters


def test_a_saved_student_is_the_same_under_plain_transformers(trained, tmp_path):
    """ "Trained, but failed to save and reload" is the sister projects' commonest complaint."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save(trained.student, tmp_path / "student", trained.log)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("### Response:", return_tensors="pt")["input_ids"]
    assert (plain(ids).logits - logits(trained.student)).abs().max() < 1e-5
    assert {p.suffix for p in folder.iterdir()} <= {
        ".json",
        ".jsonl",
        ".safetensors",
        ".jinja",
        ".md",
    }
    assert len((folder / "training.jsonl").read_text().splitlines()) == trained.steps
    assert str(tmp_path) not in "".join(p.read_text() for p in folder.glob("*.json"))


def test_a_folder_may_be_given_as_text(trained, tmp_path, monkeypatch):
    """The README's `save(student, "my-student", training.log)` failed: a text has no `is_dir`."""
    monkeypatch.chdir(tmp_path)
    folder = save(trained.student, "my-student", trained.log)
    assert folder.resolve() == tmp_path / "my-student"
    assert load_student("my-student").parameters == trained.student.parameters


ARCHITECTURES = ("tiny", "gpt2-124m", "bloom-560m", "t5-61m")


def small(name, folder=None):
    """A student to train in a second: `tiny`, else a tiny random one.

    It is loaded from `folder` where an adapter must find its base again.
    """
    if name == "tiny":
        return load_student("tiny")
    student = tiny_random(name)
    return load_student(saved(student, folder / name)) if folder else student


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("method", [m for m in METHODS if m != "qlora"])
def test_every_method_trains_and_reads_back_the_same(name, method, tmp_path):
    """Each method must come back from its folder with the logits that it was saved with.

    Within 1e-4; merged, within 1e-3.
    """
    training = finetune(
        small(name, tmp_path),
        ROWS,
        method,
        max_steps=3,
        batch_size=4,
        max_length=256,
        learning_rate=1e-2,
    )
    student = training.student
    assert len(training.log) == 3
    assert (method == "full") == (training.trainable == student.parameters)
    before, untouched = logits(student), logits(small(name))
    assert (before - untouched).abs().max() > 1e-5, "the training changed nothing"
    folder = save(student, tmp_path / "saved")
    if method == "full":
        assert (logits(load_student(folder)) - before).abs().max() < 1e-4
        return
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == student.name
    assert not list(folder.glob("*.bin"))
    again = load_student(folder)
    assert (logits(again) - before).abs().max() < 1e-4
    if method in VIRTUAL:
        with pytest.raises(ValueError, match="cannot be merged"):
            merge(again)
    else:
        assert (logits(merge(again)) - before).abs().max() < 1e-3


def test_an_adapter_folder_names_its_base_and_loads(tmp_path, capsys):
    """An adapter that holds this machine's path loads nowhere else; and a training of a few steps
    changed nothing, without a word."""
    training = finetune(load_student("tiny"), ROWS, "lora", epochs=1, batch_size=2, max_length=128)
    assert f"Only {training.steps} steps" in capsys.readouterr().out
    adapter = save(training.student, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    attention = {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert set(config["target_modules"]) == attention | {"gate_proj", "up_proj", "down_proj"}
    loaded = load_student(adapter)
    assert (logits(loaded) - logits(training.student)).abs().max() < 1e-4
    with pytest.raises(ValueError, match="has an adapter already"):
        finetune(loaded, ROWS)
    with pytest.raises(ValueError, match="no adapter"):
        merge(load_student("tiny"))


def test_every_matrix_of_a_gpt2_gets_an_adapter():
    """PEFT's own choice for GPT-2 is c_attn alone, and its matrices are turned."""
    config = peft_config(tiny_random("gpt2-124m").model.config, "lora", 1, Adapter(rank=4))
    assert config.target_modules == {"c_attn", "c_proj", "c_fc"}
    assert config.fan_in_fan_out


@pytest.mark.parametrize("name", ["tiny", "gpt2-124m"])
def test_qlora_trains_in_four_bits_and_reads_back_the_same(name, tmp_path):
    """A quantised base must be quantised the same way when the adapter is read back."""
    pytest.importorskip("bitsandbytes", reason="4 bits need bitsandbytes")
    base = name if name == "tiny" else saved(tiny_random(name), tmp_path / name)
    training = finetune(
        load_student(base, "cpu", bits=4),
        ROWS,
        "qlora",
        max_steps=3,
        batch_size=4,
        max_length=256,
    )
    before = logits(training.student)  # bitsandbytes repacks for the CPU here
    folder = save(training.student, tmp_path / "adapter")
    assert (logits(load_student(folder, "cpu", bits=4)) - before).abs().max() < 1e-3
    # The same adapter on the base in full precision: near, not equal.
    whole = logits(load_student(folder))
    assert 1e-3 < (whole - before).abs().mean() < whole.std()
    with pytest.raises(ValueError, match="4-bit weights cannot be trained"):
        finetune(load_student(base, "cpu", bits=4), ROWS)


@pytest.mark.parametrize("name", ZOO)
def test_every_student_of_the_zoo_is_trained_and_generates(name):
    """A row of the zoo's table that no code ever trained."""
    training = finetune(
        small(name), ROWS[:9], max_steps=2, batch_size=4, max_length=256, learning_rate=1e-3
    )
    assert len(training.log) == 2
    assert training.metrics()["supervised_tokens"] > 0
    assert isinstance(generate(training.student, [prompt("数到三")], max_new_tokens=4)[0], str)


def test_packing_is_used_only_where_rows_stay_apart(monkeypatch):
    """BLOOM's ALiBi takes no position ids: its packed rows see each other."""
    assert not packs(load_student("tiny"), "full"), "on a CPU it is slower"
    monkeypatch.setattr(sys.modules[packs.__module__], "on_cpu", lambda student: False)
    assert packs(load_student("tiny"), "full")
    assert not packs(load_student("tiny"), "prompt")
    assert isolates_packed_rows(load_student("tiny"))
    assert isolates_packed_rows(small("gpt2-124m"))
    assert not isolates_packed_rows(small("bloom-560m"))
    rows, _, _ = training_rows(small("bloom-560m"), ROWS, "full", 256, 0.0, 1)
    assert len(rows) == len(ROWS)
    assert "position_ids" not in rows[0]
    student = load_student("tiny")
    packed = pack(encode(ROWS, student.tokenizer, 256).rows, 256)
    assert len(unpack(packed)) == len(ROWS)
    assert training_rows(student, packed, "prompt", 256, 0.0, 1)[0][0].keys() == {
        "input_ids",
        "labels",
    }


@pytest.mark.parametrize("name", ["tiny", "gpt2-124m", "t5-61m"])
def test_all_ways_to_the_loss_agree(name):
    """The shortcut that makes logits only where a label is must not change what is learned."""
    student = small(name)
    rows = encode(
        ROWS, student.tokenizer, 256, encoder_decoder=student.model.config.is_encoder_decoder
    ).rows[:6]
    batch = collate(rows, student.tokenizer.pad_token_id, student.model.config.is_encoder_decoder)
    expected = student.model(**batch, use_cache=False).loss
    items = (batch["labels"] != -100).sum()
    if name != "t5-61m":
        items = (batch["labels"][:, 1:] != -100).sum()
    for plain in (False, has_plain_head(student)):
        assert abs(summed_loss(student.model, batch, items, plain) - expected) < 1e-5
        assert abs(summed_loss(student.model, batch, None, plain) - expected) < 1e-5
    assert abs(summed_loss(student.model, batch, items, processes=2) - 2 * expected) < 1e-4
    assert abs(summed_loss(student.model, batch, None, processes=2) - expected) < 1e-5, (
        "an evaluation was multiplied by the processes"
    )


def test_in_float32_it_equals_a_loop_by_hand():
    """Notebook 04 writes the loop by hand; in bfloat16 the two would agree to three digits only."""
    import torch

    steps, losses = 6, []
    found = finetune(load_student("tiny"), ROWS[:4], max_steps=10, batch_size=4, half=False)
    student = load_student("tiny")
    model = student.model.train()
    batch = collate(encode(ROWS[:4], student.tokenizer).rows, student.tokenizer.pad_token_id)
    kinds = [[w for w in model.parameters() if (w.ndim > 1) == matrix] for matrix in (True, False)]
    groups = [{"params": kinds[0]}, {"params": kinds[1], "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=found.log[0]["learning_rate"])
    for _ in range(steps):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    logged = [line["loss"] for line in found.log[:steps]]
    assert all(abs(a - b) < 1e-5 for a, b in zip(losses, logged, strict=True))


def test_accumulated_steps_equal_one_large_step():
    """A mean of means weighs short rows more; transformers once did so for a year."""

    def run(batch_size, accumulate):
        rows = encode(ROWS[:8], load_student("tiny").tokenizer, 256).rows
        student = load_student("tiny")
        return finetune(
            student,
            [{**r, "position_ids": list(range(len(r["input_ids"])))} for r in rows],
            max_steps=2,
            batch_size=batch_size,
            accumulate=accumulate,
        )

    whole, parts = run(8, 1), run(2, 4)
    assert abs(whole.log[-1]["loss"] - parts.log[-1]["loss"]) < 0.02
    assert whole.metrics()["supervised_tokens"] == parts.metrics()["supervised_tokens"]


def test_an_evaluation_split_never_exceeds_the_data():
    """A fixed split of 2,000 rows breaks on small data."""
    training = finetune(
        load_student("tiny"),
        ROWS,
        epochs=2,
        batch_size=1,
        max_length=128,
        evaluation=0.3,
        checkpoints=3,
    )
    assert 1 <= len(training.evaluations) <= 4
    assert training.metrics()["eval_loss"] > 0
    rows, held_out, _ = training_rows(load_student("tiny"), ROWS[:1], "full", 128, 0.9, 1)
    assert len(rows) == 1
    assert not held_out
    with pytest.raises(ValueError, match="evaluation is 2000; expected a share"):
        finetune(load_student("tiny"), ROWS, evaluation=2000)


def test_what_cannot_be_trained_is_refused_before_training():
    """NaN after an hour, or an AttributeError deep inside a library."""
    student = load_student("tiny")
    with pytest.raises(ValueError, match="no token of 1 rows is supervised"):
        finetune(student, [{**ROWS[0], "output": ""}])
    with pytest.raises(ValueError, match="method is 'dora'; expected one of full, lora, qlora"):
        finetune(student, ROWS, "dora")
    with pytest.raises(ValueError, match="needs a 4-bit student"):
        finetune(student, ROWS, "qlora")
    with pytest.raises(
        ValueError, match="report_to is 'wandb'; expected one of none, tensorboard, trackio"
    ):
        finetune(student, ROWS, report_to="wandb")
    with pytest.raises(FloatingPointError, match="the loss is nan at step 2: lower learning_rate"):
        finetune(student, ROWS, learning_rate=1e39, max_steps=3, batch_size=2, max_length=64)


def test_packed_rows_too_long_beside_virtual_tokens_are_counted():
    """They were dropped without a word when packed rows were taken apart."""
    student = load_student("tiny")
    packed = pack(
        [{"input_ids": [9] * size, "labels": [9] * size} for size in (5, student.context)],
        student.context,
    )
    kept, _, dropped = training_rows(student, packed, "prefix", student.context, 0, 0)
    assert len(kept) == 1
    assert dropped == {f"over {student.context - TOKENS} tokens": 1}


def test_minutes_end_a_training():
    """A time budget that only counts epochs is none."""
    training = finetune(
        load_student("tiny"), ROWS, epochs=1000, minutes=0.03, batch_size=2, max_length=128
    )
    assert 0 < training.steps < 1000
    assert training.log[-1]["learning_rate"] < training.log[0]["learning_rate"] * 20


def test_no_memory_gives_advice(monkeypatch):
    """A stack trace of the allocator tells nobody what to change."""
    import torch
    from trl import SFTTrainer

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(SFTTrainer, "train", full)
    with pytest.raises(MemoryError, match="(?s)batch_size.*accumulate"):
        finetune(load_student("tiny"), ROWS, batch_size=4, max_length=128)


LONG_ENOUGH = dict(max_steps=8, batch_size=2, max_length=64, checkpoints=4)

TO_BE_KILLED = f"""
import os, signal, sys
from pathlib import Path
from miniluotuo_utils.students import finetune, load_student
method, folder = sys.argv[1], Path(sys.argv[2])
kill = lambda training: training.steps == 5 and os.kill(os.getpid(), signal.SIGKILL)
finetune(load_student("tiny"), {ROWS}, method, folder=folder, show=kill, **{LONG_ENOUGH})
"""


@pytest.fixture
def one_thread():
    """Sums are added in another order by more threads: compare to the last digit with one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def steps_of(log):
    """The steps of a log file, half-written lines left out."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_killed_training_goes_on_to_the_same_loss(method, tmp_path, one_thread):
    """kill -9 in the middle; called again, it ends with the loss of one that nobody killed."""
    folder = tmp_path / "progress"
    killed = [sys.executable, "-c", TO_BE_KILLED, method, str(folder)]
    assert subprocess.run(killed, env=CPU, check=False).returncode == -signal.SIGKILL
    assert last_checkpoint(folder).name == "checkpoint-4"
    straight = finetune(load_student("tiny"), ROWS, method, **LONG_ENOUGH)

    (folder / "checkpoint-7").mkdir()  # one that was being written when the power went
    resumed = finetune(load_student("tiny"), ROWS, method, folder=folder, **LONG_ENOUGH)
    assert resumed.log[-1]["loss"] == straight.log[-1]["loss"]
    assert resumed.tokens == straight.tokens
    assert len(resumed.log) == len(straight.log)
    assert steps_of(folder / "training.jsonl") == list(range(1, 9))


def test_a_folder_of_another_training_is_refused(tmp_path):
    """Resuming with other rows or another rate would mix two trainings."""
    finetune(load_student("tiny"), ROWS, max_steps=1, max_length=128, folder=tmp_path / "progress")
    with pytest.raises(
        ValueError, match=r"settings.json, field max_steps: found 1, expected 2: another training"
    ):
        finetune(
            load_student("tiny"), ROWS, max_steps=2, max_length=128, folder=tmp_path / "progress"
        )
    with pytest.raises(ValueError, match="field rows"):
        finetune(
            load_student("tiny"),
            ROWS[:3],
            max_steps=1,
            max_length=128,
            folder=tmp_path / "progress",
        )


def test_tensorboard_writes_beside_the_log(tmp_path):
    """A logger that asks for a key stops a class; logs inside the folder would go with it."""
    finetune(
        load_student("tiny"),
        ROWS,
        max_steps=1,
        max_length=128,
        folder=tmp_path / "p",
        report_to="tensorboard",
    )
    assert list((tmp_path / "p.tensorboard").rglob("events.out*"))


def train_command(*arguments):
    """`train` from a shell."""
    start = [sys.executable, "-m", "miniluotuo_utils", "train"]
    return subprocess.run(
        [*start, *map(str, arguments)], env=CPU, capture_output=True, text=True, check=False
    )


def test_saving_never_deletes_what_is_no_student(tmp_path):
    """`--out thesis` once replaced a folder of other files by a student."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="thesis is there and is no student folder"):
        save(load_student("tiny"), tmp_path / "thesis")
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ValueError, match="thesis is there"):
        train_files("tiny", [tmp_path / "rows.jsonl"], tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_an_adapter_on_a_folder_finds_its_base_beside_it(tmp_path):
    """A base folder called like a student of the zoo was silently replaced by the zoo's."""
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    train_files(
        "tiny",
        [tmp_path / "rows.jsonl"],
        tmp_path / "tiny",
        max_steps=3,
        learning_rate=1e-2,
        max_length=128,
    )
    training = train_files(
        tmp_path / "tiny",
        [tmp_path / "rows.jsonl"],
        tmp_path / "adapter",
        method="lora",
        max_steps=2,
        max_length=128,
    )
    assert (
        logits(load_student(tmp_path / "adapter")) - logits(training.student)
    ).abs().max() < 1e-4
    assert str(tmp_path) not in "".join(
        p.read_text(errors="ignore") for p in (tmp_path / "adapter").iterdir()
    )
    with pytest.raises(ValueError, match="an adapter finds its base beside it"):
        train_files(
            tmp_path / "tiny",
            [tmp_path / "rows.jsonl"],
            tmp_path / "elsewhere" / "adapter",
            method="lora",
        )


def test_rows_of_another_vocabulary_are_refused():
    """Tokens of a 50,000-entry vocabulary ended in an index error deep inside the student."""
    with pytest.raises(ValueError, match="hold token 49,000, tiny knows 6,144"):
        finetune(
            load_student("tiny"),
            [{"input_ids": [1, 49_000], "labels": [1, 49_000], "position_ids": [0, 1]}],
        )


def test_rows_are_evened_out_with_rows_that_teach_nothing():
    """With several processes the last batch of an epoch once trained the first rows once more."""
    rows = as_dataset([{"input_ids": [5], "labels": [5], "position_ids": [0]}] * 3)
    rows = evened(rows, 4, 1)
    assert rows[3] == {"input_ids": [1], "labels": [-100], "position_ids": [0]}


def test_adalora_does_not_change_with_accumulation():
    """The orthogonality loss was added once per micro-batch, and T5's mean was never divided."""

    def run(name, batch_size, accumulate):
        return finetune(
            small(name),
            ROWS[:8],
            "adalora",
            max_steps=1,
            batch_size=batch_size,
            accumulate=accumulate,
            max_length=128,
        ).log[0]["loss"]

    for name in ("tiny", "t5-61m"):
        assert run(name, 8, 1) == pytest.approx(run(name, 2, 4), rel=0.1)  # dropout differs


def test_train_from_a_shell_says_what_is_wrong(tmp_path):
    """A bad row, and an empty file, each as one line."""
    (tmp_path / "bad.jsonl").write_text('{"instruction": "a"}\n')
    done = train_command(
        "--student", "tiny", "--data", tmp_path / "bad.jsonl", "--out", tmp_path / "x"
    )
    assert done.returncode == 2
    assert "bad.jsonl: no format that we know; it holds objects with instruction" in done.stderr
    assert "`respond` lets a teacher answer" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match="empty.jsonl: the file is empty"):
        train_files("tiny", [tmp_path / "empty.jsonl"], tmp_path / "x")
