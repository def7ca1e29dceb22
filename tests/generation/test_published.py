"""Decoding as other projects published it: what is ours, too, and what it does to copying."""

from miniluotuo_utils.generation import as_published, generate
from miniluotuo_utils.tokens import prompt_of

ASKED = "找出句子里的实体，类型有：人物、地点、时间。用JSON回答。"
SENTENCES = ["1405年，郑和从太仓出发。", "李白生于碎叶，后来到了长安。"]


def test_a_penalty_that_sees_the_prompt_spoils_what_is_copied(tiny):
    """Our penalties look at the answer alone; run so, published ones seem to do no harm."""
    prompts = [prompt_of(tiny, {"instruction": ASKED, "input": text}) for text in SENTENCES]
    plain = generate(tiny, prompts, max_new_tokens=50)
    assert as_published(tiny, prompts, {}, max_new_tokens=50, batch_size=1) == plain
    spoilt = as_published(tiny, prompts, {"repetition_penalty": 1.8}, max_new_tokens=50)
    assert "郑和" in plain[0]
    assert "郑和" not in spoilt[0]
