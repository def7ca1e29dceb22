"""Measure how far a student is from its teacher: distributions, hidden states, relations.

In: tensors of one batch. Out: one number for each token, for `objectives` to add up. Each is a few
lines, and the same by hand in notebook 06.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-8  # a state that is all 0 is not divided by
EMPTY = -20.0  # log-probability that stands for "nothing is left": 2e-9
HIDDEN = -1e4  # a score that softmax turns into 0, and whose gradient is a number


def whole_precision(tensor: Tensor) -> Any:
    """Return a context in which products are computed in the type of their tensors.

    Within autocast they would be rounded to half precision, whatever the tensors are.
    """
    import torch

    return torch.autocast(tensor.device.type, enabled=False)


# ---- distributions


def softened(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return log-probabilities [..., vocabulary]; a higher temperature makes them more even.

    >>> import torch
    >>> [round(p, 3) for p in softened(torch.tensor([2.0, 0.0]), 2.0).exp().tolist()]
    [0.731, 0.269]
    """
    return (logits.float() / temperature).log_softmax(-1)


def averaged(log_probs: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean probability of several teachers, each [..., vocabulary].

    >>> import torch
    >>> both = averaged([torch.tensor([0.9, 0.1]).log(), torch.tensor([0.5, 0.5]).log()])
    >>> [round(p, 2) for p in both.exp().tolist()]
    [0.7, 0.3]
    """
    import math

    import torch

    return torch.stack(list(log_probs)).logsumexp(0) - math.log(len(log_probs))


def kl(first: Tensor, second: Tensor) -> Tensor:
    """Return KL(first ‖ second) of log-probabilities [..., vocabulary], in nats: [...].

    >>> import torch
    >>> p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> round(kl(p, q).item(), 4), round(kl(q, p).item(), 4), kl(p, p).item()
    (0.5108, 0.3681, 0.0)
    """
    return (first.exp() * (first - second)).sum(-1)


def divergence(teacher: Tensor, student: Tensor, beta: float = 0.0) -> Tensor:
    """Return how far two distributions are apart, of log-probabilities [..., vocabulary]: [...].

    beta: 0 is forward KL(teacher ‖ student), which spreads the student over all that the teacher
      finds likely; 1 is reverse KL, which lets it choose one part of that; between them lies the
      generalised Jensen–Shannon divergence, as TRL counts it.

    >>> import torch
    >>> p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    >>> [round(divergence(p, q, beta).item(), 4) for beta in (0, 0.5, 1)]
    [0.5108, 0.1017, 0.3681]
    """
    import math

    if beta == 0:
        return kl(teacher, student)
    if beta == 1:
        return kl(student, teacher)
    middle = (teacher + math.log(beta)).logaddexp(student + math.log(1 - beta))
    return beta * kl(teacher, middle) + (1 - beta) * kl(student, middle)


def buckets(log_probs: Tensor, ids: Tensor) -> Tensor:
    """Return the log-probabilities of `ids` [n, k], and last that of all others: [n, k + 1].

    Two distributions are compared on a teacher's k best tokens and one bucket for the rest: never
    farther apart than on the whole vocabulary, and as far where k is all of it.

    >>> import torch
    >>> rows = torch.tensor([[0.6, 0.3, 0.1]]).log()
    >>> [round(p, 2) for p in buckets(rows, torch.tensor([[1, 0]])).exp()[0].tolist()]
    [0.3, 0.6, 0.1]
    """
    import torch

    chosen = log_probs.gather(-1, ids)
    # Hidden by a number and not by −inf, whose gradient would be none where all are chosen.
    rest = log_probs.scatter(-1, ids, HIDDEN).logsumexp(-1, keepdim=True).clamp(min=EMPTY)
    return torch.cat([chosen, rest], -1)


def best(log_probs: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k likeliest ids [n, k], and their `buckets` [n, k + 1]."""
    ids = log_probs.topk(min(k, log_probs.shape[-1]), -1).indices
    return ids, buckets(log_probs, ids)


# ---- features


def hidden_error(student: Tensor, teacher: Tensor, projection: Tensor) -> Tensor:
    """Return the squared difference of hidden states after a projection, as a share of the
    teacher's own square: [...].

    student: [..., width], teacher: [..., its width], projection: [its width, width]. TinyBERT does
    not divide; then tokens and layers of large states, often the first token of a row, are all that
    a student learns.

    >>> import torch
    >>> hidden_error(torch.tensor([1.0]), torch.tensor([2.0, 4.0]), torch.tensor([[2.0], [3.0]]))
    tensor(0.0500)
    """
    wanted = teacher.float()
    with whole_precision(student):
        error = (student.float() @ projection.float().T - wanted).square().sum(-1)
    return error / wanted.square().sum(-1).clamp(min=TINY)


def relations(states: Tensor, heads: int, visible: Tensor) -> Tensor:
    """Return how much each token looks like each other one: log-probabilities [B, heads, T, T].

    As in MiniLM v2 (arXiv:2012.15828): queries, keys or values [B, T, width] are cut into relation
    heads, which need not be attention's, and scaled products of a kind with itself are softmaxed.
    The result has no width, so students and teachers of unlike widths can be compared.
    `visible` [B, T, T] is True where the second token may be looked at from the first.
    """
    rows, length, width = states.shape
    cut = states.float().view(rows, length, heads, width // heads).transpose(1, 2)
    with whole_precision(states):
        scores = cut @ cut.transpose(-1, -2) * (width // heads) ** -0.5  # [B, heads, T, T]
    return scores.masked_fill(~visible[:, None], HIDDEN).log_softmax(-1)


def relation_kl(student: Tensor, teacher: Tensor, heads: int, visible: Tensor) -> Tensor:
    """Return KL(teacher ‖ student) of their `relations`, a mean over heads: [B, T].

    >>> import torch
    >>> narrow, all_of_it = torch.randn(1, 3, 4), torch.ones(1, 3, 3, dtype=torch.bool)
    >>> relation_kl(narrow, narrow, 2, all_of_it).abs().max().item()
    0.0
    """
    ours, theirs = (relations(states, heads, visible) for states in (student, teacher))
    return kl(theirs, ours).mean(1)


def visible_from(positions: Tensor, real: Tensor) -> Tensor:
    """Return which tokens stand before one in its own row: bool [B, T, T].

    positions: [B, T], which begin again where rows share a sequence. real: [B, T], not padding.
    A token always sees itself, so that no softmax is over nothing.

    >>> import torch
    >>> shared, real = torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, True]])
    >>> visible_from(shared, real)[0].int().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    import torch

    row = (positions == 0).cumsum(-1)
    same = (row[:, :, None] == row[:, None, :]) & real[:, None, :]
    itself = torch.eye(positions.shape[1], dtype=torch.bool, device=positions.device)
    return same.tril() | itself


def layer_map(student: int, teacher: int) -> list[tuple[int, int]]:
    """Return which hidden states are compared: the embeddings, then layers evenly apart, as
    TinyBERT does.

    >>> layer_map(2, 6), layer_map(4, 3)
    ([(0, 0), (1, 3), (2, 6)], [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3)])
    """
    return [(own, round(own * teacher / student)) for own in range(student + 1)]
