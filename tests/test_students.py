"""Students: trained, saved, read back, merged, generating whole characters."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniluotuo_utils.generation import check_room, generate, stream, whole_characters
from miniluotuo_utils.prompts import prompt
from miniluotuo_utils.students import ZOO, finetune, load_student, merge, save, trained_student
from miniluotuo_utils.students.finetune import Training, Watch
from miniluotuo_utils.tokens import byte_level_bpe, encode, pack

ROWS = [{"instruction": f"数到{n}", "input": "", "output": "一二三四五六七八九"[:n], "source": "x"} for n in range(1, 10)] * 2


def logits(student, text="### Response:"):
    """Logits of one text, to compare students by."""
    import torch

    with torch.inference_mode():
        return student.model(student.tokenizer(text, return_tensors="pt")["input_ids"]).logits


@pytest.fixture(scope="module")
def trained():
    """The tiny student after a few steps on nine rows."""
    return finetune(load_student("tiny"), ROWS, epochs=3, batch_size=2, max_length=64 * 2, learning_rate=1e-3, progress=False)


def test_the_loss_falls_and_the_figures_agree(trained):
    """A trainer whose labels were all masked once ran happily."""
    figures = trained.figures()
    assert trained.log[-1]["loss"] < trained.log[0]["loss"] and figures["steps"] == len(trained.log)
    encoded = encode(ROWS, trained.student.tokenizer, 128)
    assert trained.supervised == 3 * encoded.supervised and trained.tokens == 3 * sum(len(r["input_ids"]) for r in encoded.rows)
    assert figures["trainable_parameters"] == figures["parameters"] == trained.student.parameters


def test_a_saved_student_is_the_same_under_plain_transformers(trained, tmp_path):
    """"Trained, but failed to save and reload" is the sister projects' commonest complaint."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save(trained.student, tmp_path / "student", trained.log)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("### Response:", return_tensors="pt")["input_ids"]
    assert (plain(ids).logits - logits(trained.student)).abs().max() < 1e-5
    assert {p.suffix for p in folder.iterdir()} <= {".json", ".jsonl", ".safetensors", ".jinja"}
    assert len((folder / "training.jsonl").read_text().splitlines()) == trained.steps
    assert str(tmp_path) not in "".join(p.read_text() for p in folder.glob("*.json"))


def test_an_adapter_names_its_base_and_merges_to_the_same_logits(tmp_path):
    """An adapter that holds this machine's path loads nowhere else."""
    training = finetune(load_student("tiny"), ROWS, "lora", epochs=1, batch_size=2, max_length=128, progress=False)
    assert 0 < training.trainable < 0.1 * training.student.parameters
    adapter = save(training.student, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny" and set(config["target_modules"]) == {"c_attn", "c_proj", "c_fc"}
    loaded = load_student(adapter)
    before = logits(loaded)
    assert (before - logits(training.student)).abs().max() < 1e-4
    merged = merge(loaded)
    assert (before - logits(merged)).abs().max() < 1e-3
    assert (before - logits(load_student("tiny"))).abs().max() > 1e-4, "the adapter did nothing"
    with pytest.raises(ValueError, match="no adapter"):
        merge(load_student("tiny"))


def test_logits_only_where_a_label_is_give_the_same_loss(tiny):
    """The shortcut that doubles the speed must not change what is learned."""
    from miniluotuo_utils.students.finetune import supervised_loss
    from miniluotuo_utils.tokens import collate

    batch = collate(pack(encode(ROWS, tiny.tokenizer, 256).rows, 256), tiny.tokenizer.pad_token_id)
    assert abs(supervised_loss(tiny.model, batch) - tiny.model(**batch, use_cache=False).loss) < 1e-5


def test_packed_rows_are_taken_as_they_are():
    """Notebook 04 reads packed tokens from disk."""
    student = load_student("tiny")
    packed = pack(encode(ROWS, student.tokenizer, 256).rows, 256)
    assert finetune(student, packed, epochs=1, batch_size=1, progress=False).steps == len(packed)


def test_what_cannot_be_trained_is_refused_before_training():
    """NaN after an hour, or an AttributeError deep inside a library."""
    student = load_student("tiny")
    with pytest.raises(ValueError, match="no token of 1 rows is supervised"):
        finetune(student, [{**ROWS[0], "output": ""}])
    with pytest.raises(ValueError, match="method is 'dora'; expected one of full, lora, qlora"):
        finetune(student, ROWS, "dora")
    with pytest.raises(ValueError, match="needs a 4-bit student"):
        finetune(student, ROWS, "qlora")
    with pytest.raises(FloatingPointError, match="the loss is nan at step 3: lower learning_rate"):
        Watch(Training(student, "full"), None).note(3, {"loss": float("nan")})


def test_minutes_end_a_training():
    """A time budget that only counts epochs is none."""
    training = finetune(load_student("tiny"), ROWS, epochs=1000, minutes=0.03, batch_size=2, max_length=128, progress=False)
    assert 0 < training.steps < 1000 and training.log[-1]["learning_rate"] < training.log[0]["learning_rate"] * 20


def test_a_missing_student_says_what_to_do(tmp_path):
    """A hub error about a folder name."""
    with pytest.raises(FileNotFoundError, match="run notebook 04 first, or name one of: tiny"):
        load_student(tmp_path / "nothing")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    student, there = trained_student(tmp_path / "half", "tiny")
    assert not there and student.name == "tiny"


def test_the_zoo_is_honest():
    """A revision or a parameter count that nobody read from the real repository."""
    assert all(spec.revision is None for name, spec in ZOO.items() if spec.hub)
    assert f"{load_student('tiny').parameters / 1e6:.1f} M" == ZOO["tiny"].parameters


def test_batched_answers_equal_single_ones(tiny):
    """Left padding without its mask and positions changes every shorter answer of a batch."""
    prompts = [prompt("你好"), prompt("把下面的词译成英文。", "骆驼"), prompt("重复下面这句话。", "火车从北京开往张家口。")]
    together = generate(tiny, prompts, max_new_tokens=12)
    assert together == [generate(tiny, [p], max_new_tokens=12)[0] for p in prompts] and generate(tiny, []) == []


def test_a_prompt_that_fills_the_context_is_refused(tiny):
    """Generation past the last position is an index error inside the model."""
    with pytest.raises(ValueError, match="prompt 1 has .* tokens, the student's context holds 512"):
        generate(tiny, [prompt("好"), prompt("好" * 600)])
    check_room([[1] * 511], 512)


def test_streaming_writes_what_generating_returns(tiny):
    """A streamer that drops its first or last token."""
    question = prompt("四大发明分别是什么？各说一个用处。")
    assert "".join(stream(tiny, question, preset="extract", max_new_tokens=30)) == generate(tiny, [question], max_new_tokens=30)[0]
    with pytest.raises(ValueError, match="context"):
        list(stream(tiny, prompt("好" * 600)))


@pytest.fixture(scope="module")
def bytewise():
    """A byte-level vocabulary that never saw Chinese, so that every character is three tokens."""
    from transformers import PreTrainedTokenizerFast

    inner = byte_level_bpe(["the camel walks"] * 3, 300)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>", clean_up_tokenization_spaces=False)


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=20), cut=st.integers(0, 3))
def test_whole_characters_never_break(bytewise, text, cut):
    """`蛋�`: the answer stopped inside a character."""
    ids = bytewise(text)["input_ids"]
    pieces = list(whole_characters(bytewise, ids[: len(ids) - cut]))
    assert "\ufffd" not in "".join(pieces) and text.startswith("".join(pieces))
    if not cut:
        assert "".join(pieces) == text


def test_lost_bytes_do_not_hold_the_stream_back(bytewise):
    """A stray byte once made everything after it wait for ever."""
    stray = bytewise("蛋")["input_ids"][0]
    assert "".join(whole_characters(bytewise, [stray, *bytewise("camel")["input_ids"]])) == "camel"
