"""Compare taggers as large as the tiny student: which body and direction learn NER best.

    [MINILUOTUO_MIRROR=…] python benchmarks/tagger.py [DATA SET] [MINUTES] [SEEDS]

left: the student's body, each token sees what stands left of it. both: the same body, each token
sees the whole sentence. BERT: a body of the same width, layers and vocabulary with random weights.
Trained on the train split, scored on the other one (span); 10 epochs or MINUTES.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace

from results import hardware

from miniluotuo_utils.data import CATALOG
from miniluotuo_utils.data.loading import read
from miniluotuo_utils.ie import micro, score
from miniluotuo_utils.ie.tagger import train_tagger
from miniluotuo_utils.runtime import commit
from miniluotuo_utils.students import Student, load_student


def bert_like(student: Student, seed: int) -> SimpleNamespace:
    """A BERT of the student's width, depth and vocabulary that has read nothing."""
    from transformers import BertConfig, BertForMaskedLM, set_seed

    set_seed(seed)
    own = student.model.config
    config = BertConfig(
        vocab_size=own.vocab_size,
        hidden_size=own.hidden_size,
        num_hidden_layers=own.num_hidden_layers,
        pad_token_id=own.pad_token_id,
        num_attention_heads=own.num_attention_heads,
        intermediate_size=4 * own.hidden_size,
        max_position_embeddings=own.max_position_embeddings,
    )
    return SimpleNamespace(model=BertForMaskedLM(config), tokenizer=student.tokenizer)


def main(name: str = "embedded-ner", minutes: str = "1", seeds: str = "3") -> None:
    """Print one row per body and learning rate."""
    student, splits = load_student("tiny"), CATALOG[name].splits
    train, gold = (
        list(read(name, split, progress=False))
        for split in ("train", "dev" if "dev" in splits else "test")
    )
    print(
        "| body | learning rate | parameters | steps | seconds | P | R "
        "| F1 span, mean (each seed) |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for rate in (5e-4, 1e-3):
        for body in ("left", "both", "BERT"):
            found = []
            for seed in range(int(seeds)):
                start = bert_like(student, seed) if body == "BERT" else student
                tagger = train_tagger(
                    start,
                    train,
                    bidirectional=body != "left",
                    minutes=float(minutes),
                    learning_rate=rate,
                    seed=seed,
                )
                found.append(
                    micro(score(gold, tagger.predict([r["sentence"] for r in gold]), "NER"))[0][1]
                )
            p, r, f1 = (
                sum(one[key] for one in found) / len(found) for key in ("precision", "recall", "f1")
            )
            each = ", ".join(f"{one['f1']:.3f}" for one in found)
            print(
                f"| {body} | {rate:g} | {tagger.model.num_parameters():,} | {tagger.steps} "
                f"| {tagger.seconds:.0f} | {p:.3f} | {r:.3f} | {f1:.3f} ({each}) |",
                flush=True,
            )
    print(
        f"\n{name}, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {hardware()}; "
        f"of the training records: {dict(tagger.counts)}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
