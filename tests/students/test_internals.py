"""The libraries' undocumented names that students use, one test each: a new version that breaks one
is named.
"""

import pytest
import torch
from tiny_random import tiny_random
from transformers import Trainer, TrainingArguments

from miniluotuo_utils.students import internals


def test_fake_tensors_have_a_shape_and_no_data():
    """`torch._subclasses.fake_tensor.FakeTensorMode` moved: no plan could be made."""
    with internals.fake_tensors():
        product = torch.ones(10**6, 10**6) @ torch.ones(10**6, 3)
    assert product.shape == (10**6, 3)
    assert product.device.type == "cpu"


def test_views_share_one_fake_storage():
    """Each storage counts once: activations would be counted for every view of them."""
    with internals.fake_tensors():
        whole = torch.zeros(4)
        part, other = whole[:2], torch.zeros(4)
    assert part.untyped_storage() in {whole.untyped_storage()}
    assert other.untyped_storage() not in {whole.untyped_storage()}


@pytest.mark.parametrize("name", ["wenzhong-110m", "t5-61m"])
def test_every_linear_layer_has_one_of_the_two_classes(name):
    """`transformers.pytorch_utils.Conv1D` moved: GPT-2 would have no linear layers."""
    matrices = [
        type(module)
        for module in tiny_random(name).model.modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2
        and not isinstance(module, torch.nn.Embedding)
    ]
    assert matrices
    assert set(matrices) <= set(internals.linear_types())


def test_torch_says_whether_this_cpu_computes_bfloat16():
    """Both probes of `torch.cpu` gone: every CPU would train in float32 without a word."""
    assert hasattr(torch.cpu, "_is_avx512_bf16_supported")
    assert internals.cpu_computes_bf16() in (True, False)


def test_a_trainer_is_kept_on_one_gpu(tmp_path):
    """`TrainingArguments._n_gpu` renamed: four GPUs would mean DataParallel again."""
    arguments = TrainingArguments(str(tmp_path), use_cpu=True)
    arguments._n_gpu = 4
    assert arguments.n_gpu == 4
    internals.use_one_gpu(arguments)
    assert arguments.n_gpu == 1


def test_a_trainer_loads_the_weights_of_a_checkpoint(tmp_path):
    """`Trainer._load_from_checkpoint` renamed: a training killed after its last step would start
    anew.
    """
    student = tiny_random("wenzhong-110m")
    student.model.save_pretrained(tmp_path)
    weight = student.model.get_input_embeddings().weight
    expected = weight.detach().clone()
    weight.data.zero_()
    trainer = Trainer(student.model, TrainingArguments(str(tmp_path), use_cpu=True))
    internals.load_checkpoint(trainer, tmp_path)
    assert torch.equal(student.model.get_input_embeddings().weight, expected)


@pytest.mark.parametrize(
    ("name", "names"), [("wenzhong-110m", ["lm_head.weight"]), ("llama-7b", [])]
)
def test_tied_weights_are_named(name, names):
    """`_tied_weights_keys` renamed: a folder written from several processes would hold embeddings
    twice.
    """
    assert internals.tied_names(tiny_random(name).model) == names


def test_the_server_of_transformers_has_the_parts_that_are_changed():
    """A method renamed: it would go on unchanged, and a served student would answer otherwise."""
    pytest.importorskip("fastapi", reason="no FastAPI here: install the extra serve")
    parts = internals.serving()
    changed = {
        parts.ModelManager: ("load_model_and_processor", "get_gen_models"),
        parts.ChatCompletionHandler: (
            *("handle_request", "get_processor_inputs_from_messages"),
            *("_build_generation_config", "_build_completion", "_build_chunk_sse"),
        ),
    }
    for kind, names in changed.items():
        assert [name for name in names if not hasattr(kind, name)] == []


@pytest.mark.parametrize("name", ["wenzhong-110m", "gpt-neo-125m", "bloom-560m", "tiny"])
def test_a_prompt_padded_in_front_is_judged_at_its_own_places(name):
    """GPT-2 counted places from the padding: student and teacher were compared where neither had
    learned anything.
    """
    model, ids = tiny_random(name).model.eval(), torch.tensor([[5, 6, 7, 8, 9]])
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    kind = internals.on_policy_kind([], 1.0)
    with torch.no_grad():
        alone = model.base_model(ids)[0][:, -3:-1]
        behind = kind._get_last_hidden_state(None, model, padded, mask, 2)
    torch.testing.assert_close(behind, alone, atol=1e-4, rtol=1e-4)
