"""What cleaning did is told: what went and why, what was mended, in words and without styles."""

from miniluotuo_utils import show
from miniluotuo_utils.data import clean
from miniluotuo_utils.data.decontamination import Leaks
from miniluotuo_utils.files import read_jsonl
from miniluotuo_utils.runtime import EMBEDDED
from miniluotuo_utils.show import plots

DIRTY = read_jsonl(EMBEDDED / "dirty.jsonl")
REPORT = clean(DIRTY)[1]


def row(asked: str, answer: str) -> dict:
    """An instruction row without an input."""
    return {"instruction": asked, "input": "", "output": answer, "source": "自写"}


def test_every_step_that_removed_has_its_example():
    """The notebook built these tables itself, in lines of 150 characters."""
    page = repr(show.removed(REPORT, first=2, fold="其余（点开看）"))
    for step, count in REPORT.removed.items():
        assert (f"{step} | {count} | " in page) == (count > 0)
    assert page.index("其余（点开看）") > page.index("no answer")
    assert "\ufffd" not in page
    assert "〈U+FFFD〉" in page


def test_a_repetition_shows_what_differs():
    """One other word in 110 characters was bold, which nobody saw on a projector."""
    _, report = clean(
        [row("怎样在家里种一盆薄荷？", "要常浇水。"), row("怎么在家里种一盆薄荷？", "要常浇水。")],
        near=0.5,
    )
    assert report.removed["near duplicate"] == 1
    assert "怎[-样-]{+么+}在家里" in repr(show.removed(report))


def test_a_leak_names_its_test_sentence():
    """A row that went without a word about the sentence that it leaks cannot be judged."""
    sentence = "敦煌研究院在甘肃省敦煌市，离莫高窟不远。"
    leaks = Leaks({"考题/test": [sentence]})
    _, report = clean([row("改写下面这句话。" + sentence, "好。")], against=leaks)
    page = repr(show.removed(report))
    assert "混进了考题 leaked" in page
    assert sentence in page
    assert "考题/test" in page


def test_what_was_mended_is_marked():
    """Invisible characters that went are to be seen, and so is what took their place."""
    page = repr(show.mended(REPORT))
    assert "U+200B" in repr(show.mended(REPORT, each=3))
    assert "{+<手机号>+}" in page
    assert "遮住个人信息 masked" in page


def test_the_funnel_names_its_steps_in_both_languages():
    """English names of steps stood alone in a Chinese picture."""
    axes = plots.funnel({"near duplicate": 2, "自己的一步": 1}, 10, "题")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["读入 rows in", "近似重复 near duplicate", "自己的一步"]
