"""Personal data goes, other numbers stay, and what one text of a row shows none of them keeps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniluotuo_utils.data import clean
from miniluotuo_utils.data.masks import MASKED, luhn, masked_text, masked_together


def card(start: str, size: int) -> str:
    """A made-up card number with its check digit."""
    body = start.ljust(size - 1, "0")
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


UNIONPAY = card("622202", 16)


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("zhang_san@example.com", "<邮箱>"),
        ("110101199003070003", "<身份证号>"),
        ("110101 19900307 0003", "<身份证号>"),
        ("身份证：110101900307003", "<身份证号>"),
        ("13800138000", "<手机号>"),
        ("+86 138-0013-8000", "<手机号>"),
        ("（+86）13800138000", "<手机号>"),
        ("１３８００１３８０００", "<手机号>"),
        ("010-62345678", "<电话>"),
        ("(0571)8765432", "<电话>"),
        ("+86-10-62345678", "<电话>"),
        ("0371-6543210转801", "<电话>"),
        ("座机 021 62345678", "<电话>"),
        ("400-820-8820", "<电话>"),
        ("客服热线：4008208820", "<电话>"),
        ("400 820 8820（客服热线）", "<电话>"),
        ("800-8208820", "<电话>"),
        ("+852 6123 4567", "<电话>"),
        (UNIONPAY, "<银行卡号>"),
        (card("6228480402", 19), "<银行卡号>"),
        ("4111 1111 1111 1111", "<银行卡号>"),
        ("卡号4111111111111111", "<银行卡号>"),
        ("QQ：12345678", "<QQ号>"),
        ("我的qq号是12345678，加我", "<QQ号>"),
        ("微信号：luotuo_2023", "<微信号>"),
        ("加我微信luotuo2023吧", "<微信号>"),
        ("VX:abc_123456", "<微信号>"),
        ("微信13800138000", "<手机号>"),
        ("京A12345", "<车牌号>"),
        ("粤B·D12345", "<车牌号>"),
        ("护照号码：EA1234567", "<护照号>"),
    ],
)
def test_what_is_masked(text, mask):
    """400-820-8820, landlines, bank cards and QQ numbers once stayed in the training data."""
    became = masked_text(f"请记下{text}。")
    assert mask in became
    assert not any(part in became for part in ("1234567", "345678", "8000", "8820", "0003", "2023"))
    assert masked_text(became) == became


@pytest.mark.parametrize(
    "text",
    [
        "订单号13912345678",
        "订单编号：" + UNIONPAY,
        "流水号4111111111111111",
        "2008-12-25 20:30",
        "1990-2023",
        "978-7-302-12345-6",
        "ISBN 9787302123456",
        "192.168.1.100",
        "宇宙的年龄约为13800000000年",
        "营收15912345678元",
        "售价¥13800138001",
        "年产4000000000吨",
        "400-500元",
        "400 500 6000",
        "圆周率是3.14159265358979323846264338327950288419716939937510",
        "拨打110、120或10086",
        "QQ2023版",
        "QQ用户突破12345万",
        "微信支付",
        "微信：Android",
        "微信公众号：luotuo2023",
        "新冠COVID19",
        "H1N1",
        "苏B2B模式",
        "型号E12345678",
        "https://item.example.com/13800138000.html",
        "git@github.com:user/repo",
        "1234567890123456",
        "股票代码600519，邮编100871",
        "4111111111111112",
    ],
)
def test_what_is_no_persons_stays(text):
    """Every large number was somebody's telephone: sums, years, orders, ISBNs lost their digits."""
    assert masked_text(f"答：{text}。") == f"答：{text}。"


def test_a_row_hides_a_number_everywhere_and_stays_json():
    """The answer kept the number that its own sentence had lost, or was no JSON any more."""
    row = {
        "instruction": "找出QQ和电话。",
        "input": "他的QQ是12345678，电话01062345678。",
        "output": '{"QQ": [12345678], "电话": ["01062345678"]}',
        "source": "s",
    }
    [new], report = clean([row])
    assert report.mended["masked"] == 1
    assert new["input"] == "他的QQ是<QQ号>，电话<电话>。"
    assert json.loads(new["output"]) == {"QQ": ["<QQ号>"], "电话": ["<电话>"]}
    talk = {**row, "history": [["我的QQ是12345678", "记下了：12345678"]], "output": "好。"}
    [new], _ = clean([talk])
    assert new["history"] == [["我的QQ是<QQ号>", "记下了：<QQ号>"]]


pieces = st.sampled_from(
    [
        "13800138000",
        "010-62345678",
        UNIONPAY,
        "QQ：12345678",
        "订单",
        "京A12345",
        "、",
        "3.5元",
        "ab",
    ]
)


@given(st.lists(pieces, max_size=6).map("".join), st.text(max_size=6))
def test_masking_twice_is_masking_once(text, more):
    """A mask that makes its neighbour look like a number would show here."""
    once = masked_together([text + more, more])
    assert masked_together(once) == once


def test_every_kind_says_what_it_is():
    """The notebook lists the kinds: one without an example would be a promise."""
    assert all(kind.startswith("<") and example for kind, example in MASKED.items())


@pytest.mark.parametrize("mask", MASKED)
def test_the_examples_that_are_told_are_masked(mask):
    """The card number that stood as an example had a wrong check digit, and was not masked."""
    examples, _, _ = MASKED[mask].partition(", by its")
    for example in examples.split(", "):
        assert mask in masked_text(f"这里写着 {example}")
