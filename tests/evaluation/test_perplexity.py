"""Loss and chrF on held-out answers."""

import math

import pytest

from miniluotuo_utils.evaluation.perplexity import bits_of_rows, chrf, held_out
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.tokens import prompt_ids, prompt_of

ROWS = read_jsonl(EMBEDDED / "bank.jsonl")[:7]


def test_the_loss_is_what_one_row_at_a_time_gives(tiny):
    """Padding counted, or a mean of means: the loss then changed with the batch size."""
    import torch

    total, tokens = 0.0, 0
    for row in ROWS:
        before = prompt_ids(tiny.tokenizer, [prompt_of(tiny, row)])[0]
        answer = [
            *tiny.tokenizer(row["output"], add_special_tokens=False)["input_ids"],
            tiny.tokenizer.eos_token_id,
        ]
        with torch.inference_mode():
            logs = (
                tiny.model(torch.tensor([before + answer]), use_cache=False)
                .logits[0]
                .log_softmax(-1)
            )
        total -= sum(logs[len(before) + i - 1, token].item() for i, token in enumerate(answer))
        tokens += len(answer)
    measured = held_out(tiny, ROWS)
    assert measured["tokens"] == tokens
    assert measured["rows"] == 7
    assert measured["kept"] == list(range(7))
    assert not measured["dropped"]
    assert measured["loss"] == pytest.approx(total / tokens, rel=1e-4)
    assert measured["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-3)
    assert measured["bits_per_character"] == pytest.approx(
        total / math.log(2) / sum(len(r["output"]) for r in ROWS), rel=1e-4
    )
    assert held_out(tiny, ROWS, batch_size=2)["loss"] == pytest.approx(measured["loss"], rel=1e-4)


def test_the_bits_of_each_row_are_its_own(tiny):
    """Rows are measured longest first: a number under its neighbour's row is a wrong verdict."""
    rows = [*ROWS, {**ROWS[0], "output": ""}]
    together, alone = bits_of_rows(tiny, rows), [bits_of_rows(tiny, [row])[0] for row in ROWS]
    assert together[:-1] == pytest.approx(alone, rel=1e-4)
    assert together[-1] is None
    sizes = [len(row["output"]) for row in ROWS]
    mean = sum(b * n for b, n in zip(alone, sizes, strict=True)) / sum(sizes)
    assert held_out(tiny, ROWS)["bits_per_character"] == pytest.approx(mean, rel=1e-4)


def test_a_wrong_answer_costs_more(tiny):
    """Labels shifted by one place give a loss too, but no order."""
    shuffled = [{**row, "output": row["output"][::-1]} for row in ROWS]
    assert (
        held_out(tiny, shuffled)["bits_per_character"]
        > 1.2 * held_out(tiny, ROWS)["bits_per_character"]
    )


def test_what_cannot_be_measured_is_said(tiny):
    """A row that was left out in silence made two students look comparable that were not."""
    rows = [ROWS[0], {**ROWS[1], "output": ""}, {**ROWS[2], "output": "长" * 5000}]
    measured = held_out(tiny, rows)
    assert measured["rows"] == 1
    assert measured["kept"] == [0]
    assert sum(measured["dropped"].values()) == 2
    assert measured["characters"] == len(ROWS[0]["output"])
    with pytest.raises(ValueError, match="none of 1 rows can be measured"):
        held_out(tiny, rows[1:2])


@pytest.mark.parametrize("training", [True, False])
def test_a_student_in_training_is_measured_without_dropout(tiny, training):
    """Between two epochs dropout made the loss another each time, or was lost to the training."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from miniluotuo_utils.students import Student

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tiny.tokenizer),
        n_embd=32,
        n_layer=1,
        n_head=2,
        attn_pdrop=0.5,
        embd_pdrop=0.5,
        resid_pdrop=0.5,
    )
    student = Student("dropout", GPT2LMHeadModel(config).eval(), tiny.tokenizer)
    still = held_out(student, ROWS)
    student.model.train(training)
    assert held_out(student, ROWS) == still
    assert student.model.training is training
    student.model.forward = lambda **_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        held_out(student, ROWS)
    assert all(module.training is training for module in student.model.modules())


def test_an_encoder_decoder_is_measured_too():
    """Labels of an encoder–decoder are not shifted; shifted twice they gave a plausible number."""
    import torch
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    from miniluotuo_utils.students import Student, load_student

    tokenizer: PreTrainedTokenizerFast = load_student("tiny").tokenizer
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
    )
    student = Student("t5", T5ForConditionalGeneration(config).eval(), tokenizer)
    measured, one = held_out(student, ROWS, batch_size=3), held_out(student, ROWS[:1])
    ids = torch.tensor(prompt_ids(tokenizer, [prompt_of(tokenizer, ROWS[0])], True))
    assert ids[0, -1] == tokenizer.eos_token_id
    labels = torch.tensor(
        [
            [
                *tokenizer(ROWS[0]["output"], add_special_tokens=False)["input_ids"],
                tokenizer.eos_token_id,
            ]
        ]
    )
    with torch.inference_mode():
        assert one["loss"] == pytest.approx(
            student.model(input_ids=ids, labels=labels).loss.item(), rel=1e-4
        )
    apart = [held_out(student, [row]) for row in ROWS]
    assert measured["loss"] == pytest.approx(
        sum(m["loss"] * m["tokens"] for m in apart) / measured["tokens"], rel=1e-4
    )


def test_chrf_by_hand():
    """A mean over sentences, or spaces that count, gave other numbers than the papers'."""
    # P = R = (2/4 + 1/3 + 0/2 + 0/1) / 4 = 5/24
    assert chrf(["我爱北京"], ["我爱上海"]) == pytest.approx(100 * 5 / 24)
    assert chrf(["一"], ["二"]) == 0
    assert chrf(["写 诗", "骆驼"], ["写诗", "骆驼"]) == pytest.approx(100)
    assert chrf(["我爱北京", "好"], ["我爱上海", "坏"]) != pytest.approx(100 * 5 / 48), (
        "a mean of sentences"
    )
    with pytest.raises(ValueError, match="found 1 answers and 2 references"):
        chrf(["一"], ["一", "二"])
