"""The losses of distillation, against torch's own, hand-made numbers and finite differences."""

import math

import pytest
import torch

from miniluotuo_utils.students.losses import (
    averaged,
    best,
    buckets,
    divergence,
    hidden_error,
    kl,
    relation_kl,
    relations,
    softened,
    visible_from,
)


def two(vocabulary: int = 7, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a teacher and of a student, the same each time."""
    draw = torch.Generator().manual_seed(3)
    return tuple(torch.randn(rows, vocabulary, generator=draw) * 2 for _ in range(2))


def test_kl_is_torchs():
    """Arguments of `kl_div` are swapped more often than anything else in a distillation."""
    teacher, student = (softened(logits, 2.0) for logits in two())
    theirs = torch.nn.functional.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
    assert torch.allclose(kl(teacher, student), theirs, atol=1e-6)


def test_the_jensen_shannon_divergence_is_trls():
    """`beta` means the same for logits as for TRL's on-policy trainer."""
    from trl.experimental.gkd import GKDTrainer

    teacher, student = two()
    for beta in (0.0, 0.3, 0.5, 1.0):
        theirs = GKDTrainer.generalized_jsd_loss(
            student[None], teacher[None], beta=beta, temperature=1.0, reduction="sum"
        )
        ours = divergence(softened(teacher), softened(student), beta).sum()
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5), beta


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gradients_are_those_of_finite_differences(beta):
    """A loss may be right and its gradient wrong, as where a teacher is not detached."""
    teacher, student = (logits.double() for logits in two())
    theirs = (teacher / 2).log_softmax(-1)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda own: 4 * divergence(theirs, (own / 2).log_softmax(-1), beta), student
    )


def test_t_squared_keeps_the_size_of_the_gradient():
    """Without T² the teacher's part fades against the labels' as the temperature rises."""
    sizes = []
    for temperature in (4.0, 16.0):
        teacher, student = two()
        student.requires_grad_()
        far = divergence(softened(teacher, temperature), softened(student, temperature))
        (temperature**2 * far.sum()).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)


def test_top_k_is_never_farther_and_exact_with_all():
    """A teacher's k best tokens stand for all of it: how well has to be known for every k."""
    teacher, student = (softened(logits) for logits in two(50))
    whole, found = kl(teacher, student), []
    for k in (1, 4, 16, 50):
        ids, kept = best(teacher, k)
        found.append(kl(kept, buckets(student, ids)))
    for less, more in zip(found, [*found[1:], whole], strict=True):
        assert (less <= more + 1e-6).all()
    assert torch.allclose(found[-1], whole, atol=1e-5)


def test_top_k_of_everything_has_a_gradient():
    """The rest of nothing has the logarithm −inf, and its gradient would be no number."""
    teacher, student = two()
    student.requires_grad_()
    ids, kept = best(softened(teacher), 7)
    kl(kept, buckets(softened(student), ids)).sum().backward()
    assert student.grad.isfinite().all()


def test_an_ensemble_is_a_mean_of_probabilities():
    """A mean of logits is another distribution: one unsure teacher would not weigh less."""
    teachers = [softened(logits) for logits in two()]
    mean = torch.stack([one.exp() for one in teachers]).mean(0)
    assert torch.allclose(averaged(teachers).exp(), mean, atol=1e-6)
    assert torch.allclose(averaged(teachers[:1]), teachers[0], atol=1e-6)


def test_hidden_states_of_unlike_widths():
    """A projection from the student's width to the teacher's, not the other way round."""
    student, teacher = torch.ones(2, 3, 4), torch.full((2, 3, 6), 2.0)
    assert hidden_error(student, teacher, torch.ones(6, 4)).tolist() == [[1.0] * 3] * 2
    assert hidden_error(teacher, teacher, torch.eye(6)).abs().max() == 0


def test_a_token_of_huge_states_counts_like_another():
    """The first token of a row was far larger than the others: it alone was learned."""
    teacher = torch.randn(4, 6) * torch.tensor([[100.0], [1.0], [1.0], [0.0]])
    found = hidden_error(torch.zeros(4, 4), teacher, torch.ones(6, 4))
    assert found.tolist() == pytest.approx([1, 1, 1, 0])


def test_relations_of_unlike_widths_are_compared():
    """Width 8 and width 4 have relations of one shape; a rotation of all states changes none."""
    states, visible = torch.randn(2, 5, 8), torch.ones(2, 5, 5, dtype=torch.bool)
    narrow = torch.randn(2, 5, 4)
    assert relation_kl(narrow, states, 2, visible).shape == (2, 5)
    turned = torch.linalg.qr(torch.randn(4, 4)).Q
    both = states.view(2, 5, 2, 4) @ turned
    assert relation_kl(both.view(2, 5, 8), states, 2, visible).max() < 1e-5


def test_relations_see_no_other_row_and_no_padding():
    """Rows that share a sequence would else be pulled towards each other."""
    positions = torch.tensor([[0, 1, 0, 1, 2]])
    real = torch.tensor([[True, True, True, True, False]])
    found = relations(torch.randn(1, 5, 4), 1, visible_from(positions, real))[0, 0].exp()
    assert found[1, 2:].sum() == 0
    assert found[3, :2].sum() == 0
    assert found[3, 4] == 0
    assert torch.allclose(found.sum(-1), torch.ones(5))


def test_a_uniform_teacher_by_hand():
    """One number that anyone can check: uniform over four against half and three sixths."""
    student = torch.tensor([1 / 2, 1 / 6, 1 / 6, 1 / 6]).log()
    far = kl(torch.full((4,), 1 / 4).log(), student).item()
    assert far == pytest.approx(math.log(2) / 4 * -1 + 3 / 4 * math.log(6 / 4), abs=1e-6)


def test_features_are_measured_in_whole_precision():
    """Half precision rounded a token's score with itself by up to a half, before a softmax."""
    draw = torch.Generator().manual_seed(5)
    states, other = (torch.randn(2, 6, 16, generator=draw) * 9 for _ in range(2))
    weight, visible = torch.randn(16, 16, generator=draw), torch.ones(2, 6, 6, dtype=torch.bool)
    plain = hidden_error(states, other, weight), relations(states, 2, visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = hidden_error(states, other, weight), relations(states, 2, visible)
    for one, same in zip(plain, within, strict=True):
        assert torch.equal(one, same)
