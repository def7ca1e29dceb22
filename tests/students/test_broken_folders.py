"""A student's folder that a download or a copy left broken: said in one sentence, never made up."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_random import saved, tiny_random

from miniluotuo_utils.__main__ import main
from miniluotuo_utils.files import DataError
from miniluotuo_utils.students import card, load_student, loading
from miniluotuo_utils.students.loading import check_adapter

WEIGHTS, OLD = "model.safetensors", "pytorch_model.bin"


@pytest.fixture
def folder(tmp_path):
    """A whole student, called `student`."""
    return saved(tiny_random("wenzhong-110m"), tmp_path / "student")


def cut(path, count=9):
    """Cut off a file's last bytes."""
    path.write_bytes(path.read_bytes()[:-count])


def other_weights(folder, change):
    """Write a folder's weights anew, as `change` makes them."""
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def old_weights(folder, size=None):
    """Put old weights in the place of a folder's own, of which the first `size` bytes are there."""
    torch.save(load_file(folder / WEIGHTS), folder / OLD)
    (folder / OLD).write_bytes((folder / OLD).read_bytes()[:size])
    (folder / WEIGHTS).unlink()


def without_tokenizer(folder):
    """Delete what a text becomes tokens with."""
    for path in folder.glob("tokenizer*"):
        path.unlink()


NORM = "transformer.ln_f.weight"
BROKEN = {
    "a configuration of no bytes": (
        lambda folder: (folder / "config.json").write_text(""),
        "student/config.json: not JSON",
    ),
    "a list for a configuration": (
        lambda folder: (folder / "config.json").write_text("[]"),
        "student/config.json: found a list, expected a dict",
    ),
    "a model that hears": (
        lambda folder: (folder / "config.json").write_text('{"model_type": "whisper"}'),
        "field model_type: found 'whisper', expected a model that writes text",
    ),
    "weights that were cut": (
        lambda folder: cut(folder / WEIGHTS),
        "student/model.safetensors: found damaged or cut .*expected whole weights",
    ),
    "weights of no bytes": (
        lambda folder: (folder / WEIGHTS).write_bytes(b""),
        "student/model.safetensors: found damaged or cut",
    ),
    "weights that lack one": (
        lambda folder: other_weights(folder, lambda weights: weights.pop(NORM)),
        f"student student, weights: found no {NORM} .and 0 more.; expected all",
    ),
    "weights of another model": (
        lambda folder: other_weights(folder, lambda one: one.update({NORM: torch.ones(3)})),
        f"found {NORM} of .3,., expected .64,.",
    ),
    "old weights that were cut": (
        lambda folder: old_weights(folder, -3000),
        "weights: found some that are damaged or cut",
    ),
    "a page of an error for old weights": (
        lambda folder: (old_weights(folder), (folder / OLD).write_bytes(b"<html>404</html>")),
        "weights: found some that are damaged or cut",
    ),
    "no tokenizer": (
        without_tokenizer,
        "student student, tokenizer: found none of tokenizer.json, vocab.json",
    ),
    "a tokenizer that was cut": (
        lambda folder: cut(folder / "tokenizer.json"),
        "student student, tokenizer: found one that cannot be read",
    ),
    "a record of nothing": (
        lambda folder: (folder / "learned.json").write_text('[{"base": "tiny"}]'),
        "student/learned.json, training 1, field sources: found None",
    ),
}


@pytest.mark.parametrize(("broken", "said"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_broken_is_named_and_never_made_up(broken, said, folder):
    """Random numbers in the place of a weight that was missing, an empty vocabulary in the place of
    a tokenizer: both were trained, exported and published. Others were tracebacks."""
    broken(folder)
    with pytest.raises(DataError if "model_type" not in said else ValueError, match=said):
        load_student(folder)


@pytest.mark.parametrize("change", [old_weights, lambda folder: None], ids=["old", "new"])
def test_what_is_whole_loads(change, folder):
    """A check that is too strict would refuse what every course of the world hands out."""
    (folder / "tokenizer_config.json").unlink()
    change(folder)
    assert load_student(folder).parameters == tiny_random("wenzhong-110m").parameters


def test_a_part_of_the_weights_that_is_missing_is_named(tmp_path):
    """Eight files of which seven arrived."""
    student, folder = tiny_random("wenzhong-110m"), tmp_path / "student"
    student.model.save_pretrained(folder, max_shard_size="100KB")
    student.tokenizer.save_pretrained(folder)
    assert load_student(folder).parameters == student.parameters
    _, second, *_ = sorted(folder.glob("model-*.safetensors"))
    second.unlink()
    with pytest.raises(DataError, match=f"student/{second.name}: found nothing there"):
        load_student(folder)


def test_a_download_that_broke_off_goes_on(tmp_path, monkeypatch):
    """One part of two in the hub's cache: the other is fetched, and not missed before."""
    student = tiny_random("wenzhong-110m")
    index = {"weight_map": {"w": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, found in {
        "native_config": student.model.config,
        "tokenizer_in": student.tokenizer,
        "model_in": student.model,
        "folder_of": tmp_path,
    }.items():
        monkeypatch.setattr(loading, name, lambda *_, found=found: found)
    assert loading.loaded("me/student", None, "float32", {}) == (student.tokenizer, student.model)


def test_an_adapter_without_weights_or_half_of_them(tmp_path):
    """`Repo id must be in the form 'repo_name'`, and the path of this machine."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "tiny"}))
    with pytest.raises(FileNotFoundError, match="found no adapter_model.safetensors"):
        check_adapter(tmp_path)
    save_file({"w": torch.ones(9)}, tmp_path / "adapter_model.safetensors")
    check_adapter(tmp_path)
    cut(tmp_path / "adapter_model.safetensors")
    with pytest.raises(DataError, match="adapter_model.safetensors: found damaged or cut"):
        check_adapter(tmp_path)


def test_a_card_names_the_file_that_it_cannot_read(folder, capsys):
    """`Expecting value: line 1 column 1 (char 0)`, of which file?"""
    (folder / "learned.json").write_text("{")
    with pytest.raises(DataError, match="student/learned.json: not JSON"):
        card(folder)
    shutil.rmtree(folder)
    assert main(["push", str(folder), "me/x"]) == 2
    assert "no such folder" in capsys.readouterr().err
