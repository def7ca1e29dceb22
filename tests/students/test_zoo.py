"""The zoo: published sizes, a tiny random model of every row, loading from folders, mirrors and old
files, and its table.
"""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
from tiny_random import saved, tiny_random, tokenizer_like

from miniluotuo_utils.prompts import prompt
from miniluotuo_utils.students import ZOO, load_student, trained_student, zoo_table
from miniluotuo_utils.students.loading import (
    Student,
    copy_into_mirror,
    located,
    mirror_folder,
    place_in_mirror,
    placement,
)
from miniluotuo_utils.students.zoo import KEPT, TABLE
from miniluotuo_utils.tokens import refuse_lossy, text_of
from notebooks import computed, write_zoo, zoo_text

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = {  # LaMini-LM's paper, the models' cards, Mini-Luotuo's page; in millions
    "t5-61m": 61,
    "t5-223m": 223,
    "t5-738m": 738,
    "flan-t5-77m": 77,
    "flan-t5-248m": 248,
    "flan-t5-783m": 783,
    "mt5-300m": 300,
    "gpt2-124m": 124,
    "gpt2-774m": 774,
    "gpt2-1.5b": 1558,
    "cerebras-111m": 111,
    "cerebras-256m": 256,
    "cerebras-590m": 590,
    "cerebras-1.3b": 1300,
    "gpt-neo-125m": 125,
    "gpt-neo-1.3b": 1300,
    "wenzhong-110m": 124.4,
    "wenzhong-3.5b": 3550,
    "luotuo-312m": 311.6,
    "bloom-560m": 559.2,
    "bloom-1.1b": 1065,
    "bloom-7.1b": 7069,
    "llama-7b": 6700,
    "llama-13b": 13000,
    "llama-30b": 32500,
    "bloomz-7b1-mt": 7069,
    "gpt2-chinese-102m": 102.1,  # counted by hand: 21,129 × 768 + 1,024 × 768 + 12 layers
    "qwen2.5-0.5b": 490,
    "qwen2.5-1.5b": 1540,
    "qwen3-0.6b": 600,
    "qwen3-1.7b": 1700,
    "ernie-4.5-0.3b": 360,
}
ONE_OF_EACH = sorted(
    {
        (spec.architecture, spec.tokenizer, spec.own_head): name for name, spec in ZOO.items()
    }.values()
)


def logits(student: Student, text: str = "把下面的词译成英文。"):
    """Logits of one text, to compare students by."""
    import torch

    ids = student.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return student.model(
            input_ids=ids, **({"decoder_input_ids": ids[:, :3]} if student.encoder_decoder else {})
        ).logits


@pytest.mark.parametrize("name", PUBLISHED)
def test_computed_sizes_are_the_published_ones(name):
    """A wrong layer count or a head that transformers ties but the checkpoint does not:
    Flan-T5-small came out at 60 M once.
    """
    assert ZOO[name].parameters / 1e6 == pytest.approx(
        PUBLISHED[name], rel=0.013
    )  # they are rounded: 1.3 B is 1.316 B


def test_every_row_of_the_table_has_a_cell_for_each_column():
    """One tab too few moves a licence into the column of revisions."""
    head, *rows = TABLE.read_text(encoding="utf-8").splitlines()
    names = [row.partition("\t")[0] for row in rows]
    assert names == list(ZOO)
    assert {row.count("\t") for row in rows} == {head.count("\t")}
    assert len(set(names)) == len(names)


def test_the_zoo_is_honest():
    """A revision that nobody read from the real repository, a context that is not the
    configuration's, a rate of the wrong family.
    """
    for name, spec in ZOO.items():
        config = spec.config()
        stated = [
            getattr(config, field, None)
            for field in ("max_position_embeddings", "n_positions", "seq_length")
        ]
        assert spec.context in stated, name
        assert spec.hub is None or (
            spec.revision is None and re.fullmatch(r"[\w.-]+/[\w.-]+", spec.hub)
        ), name
        large = spec.hub and not config.is_encoder_decoder
        assert spec.learning_rate == (2e-5 if large else 5e-4), name
        assert spec.tokenizer in ("byte-bpe", "bpe, byte fallback", "wordpiece", "sentencepiece"), (
            name
        )
    assert load_student("tiny").parameters == ZOO["tiny"].parameters


@pytest.mark.parametrize("name", ZOO)
def test_a_tiny_random_model_of_every_row_trains_and_generates(name):
    """A row of the table that this transformers cannot build, train or generate from."""
    student = tiny_random(name)
    spec, config, tokenizer = ZOO[name], student.model.config, student.tokenizer
    assert config.model_type == spec.architecture
    assert student.encoder_decoder == spec.config().is_encoder_decoder
    assert student.context == tokenizer.model_max_length
    assert config.vocab_size == len(tokenizer)
    assert config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id is not None
    ids = tokenizer(
        [prompt("你好"), prompt("把下面的词译成英文。", "骆驼")], return_tensors="pt", padding=True
    )
    labels = (
        tokenizer(["好", "骆驼"], return_tensors="pt", padding=True)["input_ids"]
        if student.encoder_decoder
        else ids["input_ids"]
    )
    loss = student.model.train()(
        input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], labels=labels
    ).loss
    loss.backward()
    without = [
        name
        for name, p in student.model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all()
    ]
    assert loss.isfinite()
    assert not without
    found = student.model.eval().generate(
        input_ids=ids["input_ids"],
        attention_mask=ids["attention_mask"],
        max_new_tokens=3,
        do_sample=False,
    )
    assert len(found) == 2
    assert found.shape[1] <= 3 + (1 if student.encoder_decoder else ids["input_ids"].shape[1])


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_tiny_random_model_is_the_same_again_and_after_a_reload(name, tmp_path):
    """An encoder–decoder folder opened as a decoder; a tokenizer that transformers rebuilds from
    its class's defaults.
    """
    import torch

    student = tiny_random(name)
    assert torch.equal(logits(student), logits(tiny_random(name)))
    assert not torch.equal(logits(student), logits(tiny_random(name, seed=1)))
    back = load_student(saved(student, tmp_path / "student"))
    assert torch.equal(logits(student), logits(back))
    assert type(back.model) is type(student.model)
    assert (back.context, back.encoder_decoder, back.parameters) == (
        student.context,
        student.encoder_decoder,
        student.parameters,
    )
    text = prompt("你好") + '{"人名": ["李白"]}\n龘'
    assert back.tokenizer(text)["input_ids"] == student.tokenizer(text)["input_ids"]
    for kind in ("eos", "pad", "bos"):
        assert getattr(back.tokenizer, f"{kind}_token_id") == getattr(
            student.tokenizer, f"{kind}_token_id"
        )


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_vocabularies_of_tiny_random_models_give_text_back(name):
    """A vocabulary that turns answers into <unk> would make every test of training on it a test of
    nothing.
    """
    tokenizer = tokenizer_like(ZOO[name])
    refuse_lossy(
        tokenizer,
        ['{"人":["妈妈"]}' if ZOO[name].tokenizer == "wordpiece" else "李白\n生于 701 年，龘。"],
    )
    first = {"llama": "<s>", "ernie4_5": "<s>", "glm": "[gMASK]", "wordpiece": "[CLS]"}
    ids = tokenizer("你好")["input_ids"]
    kind = ZOO[name].tokenizer if ZOO[name].tokenizer == "wordpiece" else ZOO[name].architecture
    start = first.get(kind)
    assert (tokenizer.convert_ids_to_tokens(ids[:1]) == [start]) == (start is not None)
    assert text_of(tokenizer, ids)
    if ZOO[name].architecture in ("t5", "mt5"):
        assert ids[-1] == tokenizer.eos_token_id == 1
        assert tokenizer.pad_token_id == 0


@pytest.mark.parametrize(("name", "bits"), [("qwen3-0.6b", 4), ("flan-t5-77m", 4), ("llama-7b", 8)])
def test_a_quantised_student_is_nearly_the_same(name, bits, tmp_path):
    """`bits` that is taken and forgotten: the student is loaded whole and memory runs out."""
    student = tiny_random(name)
    packed = load_student(saved(student, tmp_path / "whole"), "cpu", bits=bits)
    assert getattr(packed.model, f"is_loaded_in_{bits}bit")
    assert packed.model.get_memory_footprint() < student.model.get_memory_footprint()
    whole, found = logits(student).flatten(), logits(packed).float().flatten()
    assert (whole @ found) / (whole.norm() * found.norm()) > 0.97


def test_special_settings_survive_the_shrinking():
    """A tiny random Qwen without shared key heads, or a GLM with whole rotary heads, is another
    architecture.
    """
    config = {
        name: tiny_random(name).model.config
        for name in (
            "qwen3-0.6b",
            "glm-4-9b",
            "glm-edge-1.5b",
            "llama-7b",
            "flan-t5-77m",
            "gpt-neo-125m",
        )
    }
    assert config["qwen3-0.6b"].num_key_value_heads < config["qwen3-0.6b"].num_attention_heads
    assert (
        config["qwen3-0.6b"].head_dim * config["qwen3-0.6b"].num_attention_heads
        != config["qwen3-0.6b"].hidden_size
    )
    assert config["llama-7b"].num_key_value_heads == config["llama-7b"].num_attention_heads
    assert [
        config[name].rope_parameters["partial_rotary_factor"]
        for name in ("glm-4-9b", "glm-edge-1.5b")
    ] == [0.5, 1.0]
    assert config["flan-t5-77m"].is_gated_act
    assert not tiny_random("t5-61m").model.config.is_gated_act
    assert config["gpt-neo-125m"].attention_layers == ["global", "local"]


def test_context_is_found_wherever_it_is_written(tmp_path):
    """T5 has no max_position_embeddings and BLOOM calls it seq_length: an AttributeError in the
    middle of a generation.
    """
    t5 = tiny_random("t5-61m")
    del t5.model.config.n_positions
    assert t5.context == 512
    t5.tokenizer.model_max_length = 77
    assert t5.context == 77
    t5.tokenizer.model_max_length = int(1e30)
    assert (Student("mt5-300m", t5.model, t5.tokenizer).context, t5.context) == (
        ZOO["mt5-300m"].context,
        512,
    )


def test_a_missing_student_says_what_to_do(tmp_path):
    """A hub error about a folder name."""
    for name in (tmp_path / "nothing", "nothing", "runs/smoke/students/nothing"):
        with pytest.raises(
            FileNotFoundError,
            match="no student folder nothing; run notebook 04 first, or name a student of the",
        ):
            load_student(name)
    (tmp_path / "half").mkdir()
    with pytest.raises(FileNotFoundError, match="half: found no config.json"):
        load_student(tmp_path / "half")
    (tmp_path / "half" / "config.json").write_text("{}")
    student, there = trained_student(tmp_path / "half", "tiny")
    assert not there
    assert student.name == "tiny"
    with pytest.raises(ValueError, match="bits is 3; expected 4, 8 or None"):
        placement(None, "float32", 3)


@pytest.mark.parametrize("name", ["luotuo-3.5b", "someone/some-model"])
def test_a_hub_model_out_of_reach_is_one_clear_message(name, monkeypatch, tmp_path):
    """Forty lines of traceback that end in "Can't load the configuration"."""
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        load_student(name)
    hub = ZOO[name].hub if name in ZOO else name
    message = str(caught.value)
    assert message.startswith(f"the hub's model {hub} (revision main) cannot be had: ")
    assert "\n" not in message
    assert f"$MINILUOTUO_MIRROR/huggingface.co/{hub}/resolve/main/" in message
    assert "--mirror DIR" in message
    assert "HF_ENDPOINT" in message


def test_a_mirror_folder_comes_first(monkeypatch, tmp_path):
    """A class without a network: the mirror holds the model, and the hub is asked all the same."""
    import torch

    student = tiny_random("flan-t5-77m")
    folder = place_in_mirror(tmp_path, "google/flan-t5-small", None)
    saved(student, folder)
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path))
    for name in ("flan-t5-77m", "google/flan-t5-small"):
        found = load_student(name)
        assert found.name == name
        assert torch.equal(logits(found), logits(student))
    assert mirror_folder("google/flan-t5-small", "abc") is None
    assert located("t5-61m") == ("google-t5/t5-small", None)
    monkeypatch.setenv("MINILUOTUO_MIRROR", "https://mirror.example")
    assert located("flan-t5-77m") == ("google/flan-t5-small", None)


def test_a_mirror_is_filled_as_it_is_read(monkeypatch, tmp_path):
    """`download NAME --mirror` that writes where `load_student` does not look, or takes the .bin
    twin of the safetensors along.
    """
    import huggingface_hub

    from miniluotuo_utils.__main__ import main

    source, asked = saved(tiny_random("mt5-300m"), tmp_path / "hub"), {}
    (source / "pytorch_model.bin").write_bytes(b"twin")

    def snapshot(hub, revision, allow_patterns, local_dir):
        asked.update(hub=hub, revision=revision)
        local_dir.mkdir(parents=True)
        for name in allow_patterns:
            shutil.copy(source / name, local_dir / name)
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "list_repo_files",
        lambda self, hub, revision=None: os.listdir(source),
    )
    assert main(["download", "mt5-300m", "--mirror", str(tmp_path / "stick")]) == 0
    assert asked == {
        "hub": "google/mt5-small",
        "revision": None,
    }
    monkeypatch.setenv("MINILUOTUO_MIRROR", str(tmp_path / "stick"))
    assert not (mirror_folder("google/mt5-small", None) / "pytorch_model.bin").exists()
    assert load_student("mt5-300m").encoder_decoder
    with pytest.raises(ValueError, match="ships in the package"):
        copy_into_mirror("tiny", tmp_path)


class Bomb:
    """What a hostile checkpoint holds: unpickling it runs a command."""

    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def test_old_bin_weights_are_read_as_tensors_only(monkeypatch, tmp_path):
    """The 3.5 B students exist as .bin only; a pickle from the hub may run anything."""
    import torch

    student = tiny_random("luotuo-3.5b")
    folder = saved(student, tmp_path / "old")
    torch.save(student.model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert torch.equal(logits(load_student(folder)), logits(student))
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    for write in (
        lambda f: torch.save({"transformer.wte.weight": Bomb()}, f),
        lambda f: pickle.dump({"transformer.wte.weight": Bomb()}, f),
    ):
        with open(folder / "pytorch_model.bin", "wb") as file:
            write(file)
        with pytest.raises(Exception, match="(?i)weights.only|pickle|unsupported"):
            load_student(folder)
    assert not (tmp_path / "exploded").exists()


def test_code_from_a_repository_is_never_run(tmp_path):
    """A model type that only downloaded code knows: transformers would ask at a prompt that no
    notebook can answer.
    """
    folder = saved(tiny_random("llama-7b"), tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    strange = {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"},
    }
    (folder / "config.json").write_text(json.dumps(config | strange))
    (folder / "code.py").write_text("raise SystemExit('downloaded code ran')")
    with pytest.raises(ValueError, match="student/config.json, field model_type: found 'strange'"):
        load_student(folder)
    word = "trust_remote" + "_code"
    for path in (
        *(ROOT / "miniluotuo_utils").rglob("*.py"),
        *(ROOT / "notebooks").glob("*.ipynb"),
        *(ROOT / "benchmarks").glob("*.py"),
    ):
        assert word not in path.read_text(encoding="utf-8"), path.name


def adapter(student: Student, folder: Path, base: str | None) -> Path:
    """A LoRA adapter folder on a student that names `base`."""
    import peft

    model = peft.get_peft_model(
        student.model, peft.LoraConfig(target_modules="all-linear", init_lora_weights=False)
    )
    model.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))
    return folder


def test_adapters_find_their_base(tmp_path):
    """An adapter of an encoder–decoder, and one whose base is a student that notebook 04 left
    beside it.
    """
    import torch

    student = load_student(saved(tiny_random("flan-t5-77m"), tmp_path / "flan"))
    plain = logits(student)
    found = load_student(adapter(student, tmp_path / "lora", "./flan"))
    assert found.name == "./flan"
    assert torch.equal(logits(found), logits(student))
    assert found.encoder_decoder
    assert not torch.equal(logits(found), plain)
    assert found.context == 512
    saved(tiny_random("qwen3-0.6b"), tmp_path / "student")
    beside = load_student(
        adapter(load_student(tmp_path / "student"), tmp_path / "qwen-lora", "student")
    )
    assert beside.name == "student"
    assert beside.model.config.model_type == "qwen3"


@pytest.mark.parametrize(
    ("base", "error", "words"),
    [
        (
            "/somewhere/models/gpt2",
            ValueError,
            "found an absolute path, expected a hub id or a name of the zoo",
        ),
        ("C:\\models\\gpt2", ValueError, "found an absolute path"),
        (None, ValueError, "found nothing"),
        ("", ValueError, "found nothing"),
        (
            "gone",
            FileNotFoundError,
            "'gone' cannot be loaded: no student folder gone; run notebook 04 first",
        ),
        (
            "google-t5/t5-small",
            FileNotFoundError,
            "cannot be loaded: the hub's model google-t5/t5-small",
        ),
    ],
)
def test_an_adapter_without_its_base_says_so(base, error, words, tmp_path, monkeypatch):
    """An adapter that holds the path of the machine it was trained on loads nowhere else."""
    monkeypatch.delenv("MINILUOTUO_MIRROR", raising=False)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": base})
    )
    with pytest.raises(error) as caught:
        load_student(tmp_path / "lora")
    assert str(caught.value).startswith("lora/adapter_config.json, field base_model_name_or_path: ")
    assert words in str(caught.value)


def test_the_readme_holds_the_zoo():
    """A table that was edited by hand, or a student that was added without it."""
    rows = zoo_table()
    readme = ROOT / "miniluotuo_utils" / "students" / "README.md"
    assert [row["名字 name"] for row in rows] == list(ZOO)
    assert not any("|" in cell for row in rows for cell in row.values())
    assert all(row["全参数 full GiB"] != "—" for row in rows), (
        "a configuration changed: run `python scripts/notebooks.py tables`"
    )
    assert zoo_text() in readme.read_text(encoding="utf-8"), (
        "run `python scripts/notebooks.py tables`"
    )


def test_a_readme_without_its_marks_is_refused(tmp_path):
    """A table that is silently written nowhere."""
    readme = tmp_path / "miniluotuo_utils" / "students" / "README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text("<!-- zoo -->old<!-- /zoo -->", encoding="utf-8")
    assert write_zoo(tmp_path) == [readme]
    assert write_zoo(tmp_path) == []
    readme.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="README.md: found 0 places for the zoo"):
        write_zoo(tmp_path)


def test_kept_memory_is_what_is_computed_now():
    """Numbers kept from an older way of counting; two small students stand for all, which takes
    minutes.
    """
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert list(kept) == list(ZOO)
    for name in ("tiny", "flan-t5-77m"):
        assert computed(ZOO[name]) == kept[name], "run `python scripts/notebooks.py tables`"
