"""What a student learns beside the labels: a teacher's distribution, its states, or its judgement.

In: a student, its teachers, a batch. Out: the loss of a step, for the loop of `finetune`. Shown in
notebook 06.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.students.internals import on_policy_kind
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.loop import (
    NUMBER,
    OnPolicyStep,
    at_labels,
    base_of,
    entropy,
    per_item,
    summed_loss,
    unwrapped,
)
from miniluotuo_utils.students.losses import (
    buckets,
    divergence,
    hidden_error,
    layer_map,
    relation_kl,
    softened,
    visible_from,
)
from miniluotuo_utils.students.teachers import Kept, Teachers, has_room, keep
from miniluotuo_utils.students.training import Options
from miniluotuo_utils.tokens import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from torch.nn import Module


class Objective:
    """What is learned beside the labels; `finetune`'s loop calls it for every micro-batch.

    share: of the teacher in the loss, the labels have the rest. settings: what tells it from
    others, for the folder of a training. alone: rows must not share sequences.
    """

    alone = False

    def __init__(self, share: float, settings: Mapping[str, Any]) -> None:
        self.share, self.settings = share, {"share": share, **settings}
        self.seen: list[Tensor] = []
        self.dropouts: list[tuple[Any, str, float]] = []

    def begin(self, student: Student, rows: Dataset, options: Options) -> Dataset:
        """Get ready for a training on these rows; return them as they go to the trainer.

        Without dropout: a student that sees half of itself is never its teacher's equal.
        """
        self.dropouts = list(dropouts(student.model))
        for part, name, _ in self.dropouts:
            setattr(part, name, 0.0)
        return rows

    def end(self, student: Student) -> None:
        """Leave the student as it was, but for what it has learned."""
        for part, name, value in self.dropouts:
            setattr(part, name, value)

    def collated(self, collate: Callable, batch: Sequence[Mapping]) -> dict[str, Tensor]:
        """Return a batch as tensors."""
        return collate(batch)

    def __call__(
        self, model: Any, inputs: Mapping, items: Any, plain: bool, processes: int
    ) -> Tensor:
        """Return the loss of a micro-batch: the labels' cross-entropy and the teacher's part."""
        logits, labels, far = self.compared(model, inputs, plain and processes == 1)
        far = per_item(far, len(labels), items, processes)
        self.note(far)
        near = per_item(entropy(logits, labels), len(labels), items, processes)
        return (1 - self.share) * near + self.share * far

    def compared(self, model: Any, inputs: Mapping, plain: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, labels, and the distance from the teacher, summed over the labels."""
        raise NotImplementedError

    def note(self, part: Tensor) -> None:
        """Remember the teacher's part of one micro-batch's loss."""
        self.seen.append(part.detach().float())

    def told(self) -> dict[str, float]:
        """Return the teacher's part of a step's loss, for its line of the log."""
        import torch
        from accelerate.utils import reduce

        parts = reduce(torch.stack(self.seen).sum(), "mean")
        self.seen.clear()
        return {"distillation": float(parts)}


def dropouts(model: Module) -> Iterator[tuple[Module, str, float]]:
    """Yield module, attribute and value of each share of dropout in a model.

    Some have a layer for it, others a number: T5, BART, BLOOM and Llama's attention. An adapter's
    own is left out.
    """
    for path, part in model.named_modules():
        layer = "Dropout" in type(part).__name__ and "lora_dropout" not in path
        for name, value in list(vars(part).items()):
            drops = name.endswith("dropout") or name == "layerdrop" or (name == "p" and layer)
            if isinstance(value, float) and drops:
                yield part, name, value


class Labels(Objective):
    """The labels alone, which are a teacher's answers: all of the loss is its part."""

    def __init__(self) -> None:
        super().__init__(1.0, {"labels": "a teacher's"})

    def begin(self, student: Student, rows: Dataset, options: Options) -> Dataset:
        """Return the rows; a plain fine-tuning keeps its dropout."""
        return rows

    def __call__(
        self, model: Any, inputs: Mapping, items: Any, plain: bool, processes: int
    ) -> Tensor:
        """Return the cross-entropy of the labels."""
        loss = summed_loss(model, inputs, items, plain, processes)
        self.note(loss)
        return loss


# ---- the teacher's distribution


class Logits(Objective):
    """`T² · divergence(teacher, student)` of softened distributions at every label.

    `T²` keeps the size of the gradient, which softening divides by it (Hinton et al. 2015,
    arXiv:1503.02531). teachers: `Teachers`, or `Kept` of an earlier training.
    """

    def __init__(
        self,
        teachers: Teachers | Kept,
        share: float,
        temperature: float,
        beta: float,
        top_k: int | None,
        kept: Path | None,
    ) -> None:
        # A folder says who taught, and how many tokens of each label it holds.
        said = teachers.note if isinstance(teachers, Kept) else {}
        who, top_k = said.get("teachers") or teachers.fingerprints, said.get("k", top_k)
        settings = {"temperature": temperature, "beta": beta, "top_k": top_k, "teachers": who}
        super().__init__(share, settings)
        self.teachers, self.temperature, self.beta = teachers, temperature, beta
        self.top_k, self.folder = top_k, kept

    def begin(self, student: Student, rows: Dataset, options: Options) -> Dataset:
        """Let the teachers look at all rows once, where what they say is kept."""
        rows = super().begin(student, rows, options)
        if isinstance(self.teachers, Kept):
            self.teachers.check(student, rows, self.temperature)
            return numbered(rows)
        self.teachers.check_room(rows)
        if not self.folder:
            return rows
        asked = self.teachers, student, rows
        self.teachers = keep(self.folder, *asked, self.top_k, self.temperature, options.batch_size)
        return numbered(rows)

    def collated(self, collate: Callable, batch: Sequence[Mapping]) -> dict[str, Tensor]:
        """Return a batch as tensors, with the row's numbers where the teacher's say is kept."""
        import torch

        found = collate(batch)
        if NUMBER in batch[0]:
            found[NUMBER] = torch.tensor([row[NUMBER][0] for row in batch])
        return found

    def compared(self, model: Any, inputs: Mapping, plain: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, labels, and the divergence summed over the labels."""
        body = {name: value for name, value in inputs.items() if name != NUMBER}
        logits, labels, _ = at_labels(model, body, plain)
        if isinstance(self.teachers, Kept):
            ids, theirs = (part.to(logits.device) for part in self.kept(inputs))
            size = self.teachers.note.get("size")  # what an earlier version kept has none
            ours = buckets(softened(logits[:, :size], self.temperature), ids)
        else:
            theirs = self.teachers.log_probs(body, self.temperature)
            ours = softened(logits[:, : theirs.shape[1]], self.temperature)
        far = self.temperature**2 * divergence(theirs, ours, self.beta).sum()
        return logits, labels, far

    def kept(self, inputs: Mapping) -> tuple[Tensor, Tensor]:
        """Return what the teachers said of the rows of a batch."""
        return self.teachers.of(inputs[NUMBER].tolist())


def numbered(rows: Dataset) -> Dataset:
    """Return rows with their numbers, by which what a teacher kept is found."""
    return rows.add_column(NUMBER, [[number] for number in range(len(rows))])


# ---- the teacher's states


class Features(Objective):
    """Hidden states through projections (TinyBERT), or attention relations (MiniLM v2).

    kind "hidden": the squared difference at every token, as a share of the teacher's square, of the
    layers of `layer_map`; each projection is trained with the student and gone afterwards. kind
    "relations": how much tokens look like each other in queries, keys and values of the last
    layers; needs no projection.
    """

    def __init__(self, teachers: Teachers, share: float, kind: str) -> None:
        settings = {"features": kind, "teachers": teachers.fingerprints}
        super().__init__(share, settings)
        self.teachers = teachers
        self.teacher, self.plain_teacher = teachers.students[0], teachers.plain[0]
        self.kind, self.pairs, self.pad_id = kind, [], 0

    def begin(self, student: Student, rows: Dataset, options: Options) -> Dataset:
        """Give the student its projections, so that optimizer and checkpoints know them."""
        rows = super().begin(student, rows, options)
        self.teachers.check_room(rows)
        self.pad_id = student.tokenizer.pad_token_id
        ours, theirs = student.model.config, self.teacher.model.config
        self.pairs = layer_map(*map(depth_of, (ours, theirs)))
        if self.kind == "hidden":
            widths = ours.hidden_size, theirs.hidden_size
            student.model.distillation = projections(*widths, len(self.pairs), options.seed)
            student.model.distillation.to(student.model.device)
        else:
            # Refused now, rather than in the first step.
            attention_parts(student.model)
            attention_parts(self.teacher.model)
        return rows

    def end(self, student: Student) -> None:
        """Take the projections away, too."""
        super().end(student)
        model = base_of(student.model)
        if hasattr(model, "distillation"):
            del model.distillation

    def compared(self, model: Any, inputs: Mapping, plain: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, labels, and a mean over tokens times the number of labels."""
        import torch

        real = self.real(inputs)
        if self.kind == "hidden":
            logits, labels, ours = at_labels(model, inputs, plain, output_hidden_states=True)
            with torch.no_grad():
                theirs = at_labels(
                    self.teacher.model, inputs, self.plain_teacher, output_hidden_states=True
                )[2]
            far = self.of_states(model, states_of(ours), states_of(theirs))
        else:
            with caught(model) as ours:
                logits, labels, _ = at_labels(model, inputs, plain)
            with torch.no_grad(), caught(self.teacher.model) as theirs:
                at_labels(self.teacher.model, inputs, self.plain_teacher)
            far = self.of_relations(ours, theirs, inputs, real)
        # Rows that only fill up have no token to compare; their mean would be no number.
        far = far[real].sum() / real.sum().clamp(min=1)
        return logits, labels, far * len(labels)

    def real(self, inputs: Mapping) -> Tensor:
        """Return which tokens are compared, bool [B, T]: all but padding."""
        if "attention_mask" not in inputs:
            return (inputs["input_ids"] != self.pad_id) | (inputs["labels"] != IGNORED)
        # An encoder–decoder's states are its decoder's, its relations its encoder's.
        hidden = self.kind == "hidden"
        return inputs["labels"] != IGNORED if hidden else inputs["attention_mask"].bool()

    def of_states(self, model: Any, ours: Sequence, theirs: Sequence) -> Tensor:
        """Return the mean over layers of the error at each token: [B, T]."""
        import torch

        weights = [layer.weight for layer in unwrapped(model).distillation]
        found = [
            hidden_error(ours[own], theirs[other], weight)
            for (own, other), weight in zip(self.pairs, weights, strict=True)
        ]
        return torch.stack(found).mean(0)

    def of_relations(
        self, ours: Sequence, theirs: Sequence, inputs: Mapping, real: Tensor
    ) -> Tensor:
        """Return the mean over queries, keys and values of the divergence at each token: [B, T]."""
        import torch

        if "position_ids" in inputs:
            visible = visible_from(inputs["position_ids"], real)
        else:  # an encoder looks both ways
            visible = real[:, None, :].expand(-1, real.shape[1], -1)
        heads = relation_heads([states.shape[-1] for states in (*ours, *theirs)])
        found = [relation_kl(a, b, heads, visible) for a, b in zip(ours, theirs, strict=True)]
        return torch.stack(found).mean(0)


def depth_of(config: Any) -> int:
    """Return how many layers the states of `states_of` come from: a decoder's, where there are two.

    >>> from transformers import GPT2Config, T5Config
    >>> depth_of(GPT2Config(n_layer=3)), depth_of(T5Config(num_layers=4, num_decoder_layers=2))
    (3, 2)
    """
    names = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
    found = (getattr(config, name, None) for name in names)
    return next(number for number in found if number is not None)


def states_of(outputs: Any) -> Sequence[Tensor]:
    """Return a model's hidden states, the embeddings first; a decoder's where there are two."""
    decoder = getattr(outputs, "decoder_hidden_states", None)
    return outputs.hidden_states if decoder is None else decoder


def projections(student: int, teacher: int, count: int, seed: int) -> Module:
    """Return `count` linear maps of the student's width to the teacher's.

    Of equal widths each begins as it is, so that an equal teacher is at no distance.
    """
    import torch

    layers = torch.nn.ModuleList()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        layer = torch.nn.Linear(student, teacher, bias=False)
        if student == teacher:
            torch.nn.init.eye_(layer.weight)
        else:
            torch.nn.init.xavier_uniform_(layer.weight, generator=generator)
        layers.append(layer)
    return layers


def relation_heads(widths: Sequence[int], most: int = 12) -> int:
    """Return into how many heads states of all these widths are cut: BERT's 12, or fewer.

    >>> relation_heads([256, 128, 128]), relation_heads([768, 768, 768])
    (8, 12)
    """
    shared = gcd(*widths)
    return max(heads for heads in range(1, most + 1) if shared % heads == 0)


def attention_parts(model: Any) -> list[tuple[Module, int]]:
    """Return the modules that give the last layer's queries, keys and values.

    With each stands into how many parts its output is cut: 3 for GPT-2's, which gives all three.
    Raises ValueError for an attention that is built otherwise.
    """
    import torch

    base = base_of(unwrapped(model))
    depth = base.config.num_hidden_layers
    lists = (m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth)
    last = next(iter(lists))[-1]
    named = {name.rpartition(".")[2]: part for name, part in last.named_modules()}
    for names in (("q_proj", "k_proj", "v_proj"), ("q", "k", "v")):
        if all(name in named for name in names):
            return [(named[name], 1) for name in names]
    if "c_attn" in named:
        return [(named["c_attn"], 3)]
    raise ValueError(
        f"a {base.config.model_type} does not show its queries, keys and values apart: "
        "use features='hidden'"
    )


@contextmanager
def caught(model: Any) -> Iterator[list[Tensor]]:
    """Give a list that the next forward pass fills with queries, keys and values [B, T, width]."""
    found: list[Tensor] = []
    hooks = [
        part.register_forward_hook(lambda _, __, out, cut=cut: found.extend(out.chunk(cut, -1)))
        for part, cut in attention_parts(model)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


# ---- the teacher's judgement of what the student says


class OnPolicy(Objective):
    """TRL's `DistillationTrainer`: the student answers, the teacher judges every token of that.

    beta: as in `losses.divergence`. own: the share of prompts that the student answers itself; the
    others have the answers of the rows. answer: the longest answer, in tokens.
    """

    alone = True

    def __init__(
        self,
        student: Student,
        teachers: Teachers,
        temperature: float,
        beta: float,
        own: float,
        answer: int,
    ) -> None:
        # Cut first: what tells a teacher from others must not change while it teaches.
        cut_padding(student, teachers.students[0], teachers.size)
        settings = {"temperature": temperature, "beta": beta, "own": own, "answer": answer}
        super().__init__(1.0, settings | {"teachers": teachers.fingerprints})
        self.teachers = teachers
        self.teacher, self.size = teachers.students[0], teachers.size
        self.temperature, self.beta, self.own, self.answer = temperature, beta, own, answer
        self.encoded: list[tuple[list[int], list[int]]] = []

    def begin(self, student: Student, rows: Dataset, options: Options) -> Dataset:
        """Return numbers as prompts: what they stand for is tokens already."""
        from datasets import Dataset

        rows = super().begin(student, rows, options)
        self.teachers.check_room(rows)
        self.encoded = [prompt_and_answer(row) for row in rows]
        self.check_answers(student)
        needed = options.batch_size * options.accumulate
        if len(rows) < needed:
            raise ValueError(
                f"on_policy 每一步要满满一批，行数不够。 on_policy takes whole steps of "
                f"{needed:,} rows (batch_size × accumulate), found {len(rows):,}: give more rows, "
                "or smaller numbers"
            )
        return Dataset.from_dict({"prompt": [str(number) for number in range(len(rows))]})

    def check_answers(self, student: Student) -> None:
        """Raise ValueError where a prompt leaves too little room for an answer."""
        written, given = self.answer * (self.own > 0), self.own < 1
        longest = max(len(asked) + max(written, len(gold) * given) for asked, gold in self.encoded)
        for one in (student, self.teacher):
            if not has_room(one, longest):
                raise ValueError(
                    f"{one.name} 装不下最长的问题加上回答：把 answer 改小，或删掉太长的行。 "
                    f"{one.name} has room for {one.context:,} tokens, found {longest:,} for the "
                    f"longest prompt and an answer of {self.answer:,}: give a smaller answer=…, "
                    "or leave the longest rows out"
                )

    def configuration(self) -> Callable:
        """Return what makes TRL's configuration."""
        from functools import partial

        from trl import DistillationConfig

        return partial(
            DistillationConfig,
            beta=self.beta,
            temperature=self.temperature,
            max_completion_length=self.answer,
        )

    def trainer_parts(self) -> dict[str, Any]:
        """Return the classes that the trainer is made of, and what only they are given."""
        return {
            "kinds": (OnPolicyStep, on_policy_kind(self.encoded, self.own)),
            "teacher_model": self.teacher.model,
        }

    def end(self, student: Student) -> None:
        """Take away what the trainer has put around the teacher's forward pass, too."""
        from accelerate.utils import extract_model_from_parallel

        super().end(student)
        self.teacher.model = extract_model_from_parallel(
            self.teacher.model, keep_fp32_wrapper=False
        )


def prompt_and_answer(row: Mapping) -> tuple[list[int], list[int]]:
    """Return a decoder's row as the ids of its prompt and those of its answer.

    >>> prompt_and_answer({"input_ids": [5, 6, 7, 0], "labels": [-100, -100, 7, 0]})
    ([5, 6], [7, 0])
    """
    begin = next(n for n, label in enumerate(row["labels"]) if label != IGNORED)
    return list(row["input_ids"][:begin]), list(row["input_ids"][begin:])


def cut_padding(student: Student, teacher: Student, size: int) -> None:
    """Cut the teacher's output to the student's, where they differ by padding rows.

    TRL compares models of one size only; the teacher stays cut. Raises ValueError where the student
    is the larger one.
    """
    ours, theirs = (one.model.get_output_embeddings().weight.shape[0] for one in (student, teacher))
    if ours > size:
        raise ValueError(
            f"{student.name} has {ours:,} logits, {ours - size:,} more than its teacher: cut its "
            f"padding rows with student.model.resize_token_embeddings({size})"
        )
    if theirs > size:
        teacher.model.resize_token_embeddings(size)
