"""A saved folder asks as it was trained, and an adapter stays off a base that is not its own."""

import json
import shutil

import pytest
import vocabularies

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import write_jsonl
from miniluotuo_utils.generation import generate
from miniluotuo_utils.generation.streaming import whole_text
from miniluotuo_utils.jobs.train import train_files
from miniluotuo_utils.prompts import has_own_template, messages_of, prompt
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.students import Student, finetune, load_student, merge, save
from miniluotuo_utils.students.bases import weights_fingerprint
from miniluotuo_utils.tokens import encode, end_of, prompt_ids, prompt_of

ROW = {"instruction": "the camel", "input": "骆驼 walks", "output": "to Beijing", "source": "x"}
ROWS = [ROW, ROW | {"input": ""}, ROW | {"history": [["你好", "hello"]]}] * 2
KINDS = [*vocabularies.CHATS, "blanks", "none", "led"]
CONTEXT = 256


def words_of(kind):
    """A vocabulary with a chat template of a kind; "none" and "led" have none, "led" puts a start
    token first."""
    if kind == "none":
        return vocabularies.bytewise([vocabularies.TEXT])
    words = vocabularies.chatting("blanks" if kind == "led" else kind)
    if kind == "led":
        words.chat_template = None
    return words


def student_of(kind):
    """A random Qwen3 of two layers, whose checkpoint wants to sample."""
    import torch
    import transformers as t

    words = words_of(kind)
    torch.manual_seed(3)
    config = t.Qwen3Config(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=CONTEXT,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        bos_token_id=None,
    )
    model = t.Qwen3ForCausalLM(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.3)
    model.generation_config.update(do_sample=True, temperature=0.6, top_k=20, max_length=None)
    return Student(f"random-{kind}", model, words)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_answers_as_generate_does(kind, tmp_path):
    """A pipeline on a trained folder sampled, asked in another template, or ran on behind the end
    of the answer."""
    from transformers import pipeline

    made = student_of(kind)
    folder = save(finetune(made, ROWS, max_steps=2, max_length=CONTEXT).student, tmp_path / kind)
    student = load_student(folder)
    wrapper = not has_own_template(words_of(kind))
    ask = pipeline("text-generation", str(folder), device="cpu")
    for row in ROWS[:3]:
        talk = messages_of(row, wrapper)
        how = {"tokenizer_encode_kwargs": {"enable_thinking": False}} if kind == "thinking" else {}
        found = ask([talk], return_tensors=True, **how)[0][0]["generated_token_ids"]
        asked = prompt_ids(student.tokenizer, [prompt_of(student, row)])[0]
        assert found[: len(asked)] == asked

        ends = {end_of(student.tokenizer), student.tokenizer.eos_token_id}
        answer = found[len(asked) :]
        stop = next((at for at, token in enumerate(answer) if token in ends), len(answer))
        assert stop >= len(answer) - 1, "it went on behind the end"
        said = generate(student, [prompt_of(student, row)], max_new_tokens=CONTEXT)[0]
        assert said == whole_text(student.tokenizer, answer[:stop])


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_holds_the_template_it_was_trained_in(kind, tmp_path):
    """The saved folder kept an old template, or none, and a server asked in another format."""
    from transformers import AutoTokenizer

    made = student_of(kind)
    trained = encode(ROWS, made.tokenizer, CONTEXT, lossy="keep")
    folder = save(made, tmp_path / "student")
    assert made.tokenizer.chat_template == words_of(kind).chat_template, "save changes no student"
    words = AutoTokenizer.from_pretrained(folder)
    if made.tokenizer.chat_template:
        assert words.chat_template == made.tokenizer.chat_template
    wrapper = not made.tokenizer.chat_template
    for number, row in zip(trained.kept, trained.rows, strict=True):
        talk = messages_of(ROWS[number], wrapper)
        how = {"add_generation_prompt": True, "return_dict": False, "enable_thinking": False}
        asked = words.apply_chat_template(talk, **how)
        assert row["input_ids"][: len(asked)] == asked
        assert row["labels"][: len(asked)].count(-100) == len(asked)
        assert row["labels"][len(asked)] != -100
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert ("Alpaca" in text) == wrapper
    assert ("enable_thinking" in text) == (kind == "thinking")
    # Loaded again it is the same, and so is what it writes.
    again = save(load_student(folder), tmp_path / "again")
    assert (again / "chat_template.jinja").read_text() == (
        folder / "chat_template.jinja"
    ).read_text()


def test_an_adapter_is_asked_in_its_own_template(tmp_path):
    """An adapter that was trained in Alpaca's wrapper on a chat model answered the chat template's
    prompts."""
    base = load_student(save(student_of("short"), tmp_path / "base"))
    base.tokenizer.chat_template = None
    save(finetune(base, ROWS, "lora", max_steps=1).student, tmp_path / "adapter")
    found = load_student(tmp_path / "adapter")
    assert prompt_of(found, ROW) == prompt(ROW["instruction"], ROW["input"])
    assert prompt_of(load_student(tmp_path / "base"), ROW).startswith("<|user|>")
    assert "apply_chat_template" in (tmp_path / "adapter" / "README.md").read_text()


# ---- an adapter and its base


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A LoRA adapter on `tiny`, saved."""
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    return save(finetune(load_student("tiny"), ROWS, "lora", max_steps=1).student, folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"weights": "0" * 64},
            "adapter/base.json, field weights: found 000000000000…, tiny here has",
        ),
        (None, "found no base.json with the base's fingerprint, expected one: tiny ships"),
    ],
)
def test_an_adapter_on_another_tiny_is_refused(adapter, change, words, tmp_path, capsys):
    """The shipped base is replaced by another of the same name; the adapter of the old one was
    applied to it without a word, and merged into nonsense."""
    folder = shutil.copytree(adapter, tmp_path / "adapter")
    note = json.loads((folder / "base.json").read_text())
    assert note["base"] == "tiny"
    assert note["weights"] == weights_fingerprint(EMBEDDED / "student")
    (folder / "base.json").unlink()
    if change:
        (folder / "base.json").write_text(json.dumps(note | change))
    with pytest.raises(ValueError) as caught:
        load_student(folder)
    assert words in str(caught.value)
    assert "train the adapter again" in str(caught.value)
    assert main(["merge", str(folder), str(tmp_path / "merged")]) == 2
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_an_adapter_beside_a_base_that_changed_is_refused(tmp_path):
    """`merge ADAPTER BASE` overwrote the base, and the adapter was then applied a second time."""
    base = save(student_of("short"), tmp_path / "base")
    training = finetune(load_student(base), ROWS, "lora", max_steps=1)
    folder = save(training.student, tmp_path / "adapter")
    loaded = load_student(folder)
    again = json.loads((save(loaded, tmp_path / "again") / "base.json").read_text())
    assert again == json.loads((folder / "base.json").read_text())
    with pytest.raises(ValueError, match="base is the base that the adapter needs"):
        save(loaded, base)
    assert main(["merge", str(folder), str(base)]) == 2
    with pytest.raises(ValueError, match="base is the base"):
        save(merge(loaded), base)
    merged = save(merge(loaded), tmp_path / "merged")
    shutil.rmtree(base)
    merged.rename(base)
    with pytest.raises(ValueError, match=r"\./base here has .*trained on another base"):
        load_student(folder)


def test_training_an_adapter_onto_its_base_is_refused_at_once(tmp_path):
    """`train --student base --method lora --out base` deleted the base's weights; the adapter then
    pointed to itself."""
    base = save(student_of("short"), tmp_path / "base")
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ValueError, match="base is the base that the adapter needs"):
        train_files(base, [tmp_path / "rows.jsonl"], base, method="lora")
    assert (base / "model.safetensors").is_file()


def test_an_adapter_of_weights_that_no_folder_holds_names_no_fingerprint(tmp_path):
    """A `tiny` that was trained in memory is not the `tiny` that the adapter will find."""
    student = finetune(load_student("tiny"), ROWS, max_steps=1).student
    folder = save(finetune(student, ROWS, "lora", max_steps=1).student, tmp_path / "adapter")
    assert not (folder / "base.json").exists()
    with pytest.raises(ValueError, match="changed in memory"):
        load_student(folder)


def test_an_adapter_of_another_tool_is_taken_on_any_other_base(tmp_path):
    """PEFT writes no fingerprint: only what ships with this package cannot do without."""
    base = save(student_of("short"), tmp_path / "base")
    folder = save(finetune(load_student(base), ROWS, "lora", max_steps=1).student, tmp_path / "a")
    (folder / "base.json").unlink()
    assert load_student(folder).name == "./base"


def test_a_fingerprint_notices_weights_and_not_files(tmp_path, monkeypatch):
    """The same weights in three files, or under other metadata, are the same base."""
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(300, 1000, generator=draw) for name in "abc"}

    def fingerprint(*parts):
        folder = tmp_path / "weights"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, part in enumerate(parts):
            save_file(part, folder / f"model-{number}.safetensors", {"number": str(number)})
        return weights_fingerprint(folder)

    for limit in (64 << 20, 1000):  # read as a whole, and sampled
        monkeypatch.setattr("miniluotuo_utils.students.bases.WHOLE", limit)
        known = fingerprint(weights)
        a, b, c = ({name: weights[name]} for name in "abc")
        assert fingerprint(c, a, b) == known
        assert fingerprint(weights | {"a": weights["a"] + 1e-3}) != known
        assert fingerprint(weights | {"a": weights["a"].half()}) != known
        assert fingerprint(a | {"b": weights["c"], "c": weights["b"]}) != known
        assert fingerprint(weights | {"a": weights["a"].reshape(1000, 300)}) != known
    assert weights_fingerprint(tmp_path) == ""
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(5000))
    assert weights_fingerprint(tmp_path)


def test_the_hubs_revision_stands_beside_the_fingerprint(monkeypatch, tmp_path):
    """A hub model may change under its name: which commit an adapter was trained on was lost."""
    base = load_student(save(student_of("short"), tmp_path / "base"))
    base.name, base.revision = "somebody/model", "0123abcd"
    folder = save(finetune(base, ROWS, "lora", max_steps=1).student, tmp_path / "adapter")
    assert json.loads((folder / "base.json").read_text())["revision"] == "0123abcd"
    assert json.loads((folder / "adapter_config.json").read_text())["revision"] == "0123abcd"
    # In a mirror the commit is found beside a newer one; without it the newer one is refused.
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "mirror"))
    place = tmp_path / "mirror" / "huggingface.co" / "somebody" / "model" / "resolve"
    shutil.copytree(tmp_path / "base", place / "0123abcd")
    shutil.copytree(EMBEDDED / "student", place / "main")
    assert load_student(folder).weights == base.weights
    shutil.rmtree(place / "0123abcd")
    with pytest.raises(ValueError, match=r"another base\. Put that base of revision 0123abcd"):
        load_student(folder)
