"""Mask personal data in a text: numbers and addresses that lead to one person or one telephone.

In: a text. Out: the same text with `<手机号>` and the like in their place. What is masked and what
is not stands in `MASKED`. Shown in notebook 01.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from miniluotuo_utils.data.prose import is_json

# Each kind with an example. Years, sums, prices, ISBNs, IP addresses, order numbers, public short
# numbers (110, 95588), names and postal addresses stay as they are.
MASKED = {
    "<邮箱>": "zhangsan@example.com",
    "<身份证号>": "110101199003070003, by its check digit",
    "<银行卡号>": "6222 0000 0000 0009, by its check digit",
    "<手机号>": "138-0013-8000, +86 13800138000",
    "<电话>": "010-62345678, (0571)8765432, 400-820-8820",
    "<QQ号>": "QQ：12345678",
    "<微信号>": "微信号：luotuo_2023",
    "<车牌号>": "京A12345, 粤B·D12345",
    "<护照号>": "护照号 E12345678",
}

# A text is searched with these as ASCII, one character for one, so that places stay the same.
WIDE = {ord("０") + n: str(n) for n in range(10)} | {
    ord(a): b for a, b in zip("－—＋（）＠：．", "--+()@:.", strict=True)
}
ADDRESS = re.compile(r"(?:https?|ftp)://[!-~]+|\bwww\.[!-~]+")
# Before a number: it counts goods or papers, and calls nobody.
ORDER = re.compile(
    r"(?:订单|单号|编号|流水|货号|批号|型号|序列|条码|条形码|工单|快递|运单|发票|学号|工号|专利|"
    r"ISBN|ISSN|DOI|IMEI|SN|(?<![信Q])(?:ID|id))[^，。；,;\n\d]{0,4}$"
)
# Just after a number: it is an amount.
MEASURES = (
    *"年月元人字个吨米里亿万次件块岁户台条份页倍步秒篇位项家册本辆%％",
    "公里",
    "千米",
    "美元",
    "字节",
)
CALLED = re.compile(r"电话|热线|客服|拨打|致电|座机|联系|传真|咨询|[Tt]el|TEL|[Pp]hone|[Ff]ax")
BANK = re.compile(
    r"卡号|银行|账号|账户|帐号|帐户|储蓄|信用卡|借记卡|汇款|转账|开户|[Cc]ard|[Aa]ccount"
)


def amount(match: re.Match) -> bool:
    """Return whether a number counts something: a round one, or a measure or a currency beside."""
    before, after = match.string[: match.start()], match.string[match.end() :].lstrip()
    round_number = re.sub(r"\D", "", match[0]).endswith("000000")
    return round_number or after.startswith(MEASURES) or before.endswith(("¥", "￥", "$", "€"))


def ordered(match: re.Match) -> bool:
    """Return whether what stands before a number says that it is an order's or a paper's."""
    return bool(ORDER.search(match.string[max(0, match.start() - 12) : match.start()]))


def near(match: re.Match, words: re.Pattern) -> bool:
    """Return whether one of the words stands up to 16 characters before, or 6 after."""
    text, (start, end) = match.string, match.span()
    return bool(words.search(text[max(0, start - 16) : start]) or words.search(text[end : end + 6]))


def identity(match: re.Match) -> bool:
    """Return whether the last of 18 digits is the check digit of GB 11643."""
    digits = re.sub(r"[ -]", "", match[0])
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))
    return digits[17].upper() == "10X98765432"[total % 11]


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of ISO/IEC 7812.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(map(sum, (divmod(number, 10) for number in doubled))) % 10 == 0


def bank_card(match: re.Match) -> bool:
    """Return whether a number is a card: Luhn's digit, and cut in fours, UnionPay's or near a bank.

    One in ten numbers has the right digit by chance, so that alone tells nothing.
    """
    digits = re.sub(r"\D", "", match[0])
    known = digits != match[0] or digits.startswith("62") or near(match, BANK)
    return luhn(digits) and known and not ordered(match) and not amount(match)


def mobile(match: re.Match) -> bool:
    """Return whether eleven digits call a person."""
    return not amount(match) and not ordered(match)


def landline(match: re.Match) -> bool:
    """Return whether digits are a telephone: cut by a hyphen or in brackets, or called one."""
    return not amount(match) and not ordered(match) and ("-" in match[0] or near(match, CALLED))


# A pattern, and whether a match counts; where the pattern has a group, only that is masked.
Rule = tuple[str, re.Pattern, Callable[[re.Match], object]]
RULES: tuple[Rule, ...] = (
    # not git@github.com:user/repo
    (
        "<邮箱>",
        re.compile(
            r"(?<![A-Za-z0-9._%+/-])(?!git@)[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
        ),
        bool,
    ),
    (
        "<身份证号>",
        re.compile(r"(?<![\d.])[1-9]\d{5}[ -]?(?:19|20)\d{2}[01]\d[0-3]\d[ -]?\d{3}[\dXx](?!\d)"),
        identity,
    ),
    # The fifteen digits of the first generation have no check digit: only where they are named.
    (
        "<身份证号>",
        re.compile(
            r"身份证[^，。；\n\d]{0,8}([1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3})(?!\d)"
        ),
        bool,
    ),
    (
        "<银行卡号>",
        re.compile(
            r"(?<![\d.-])(?:62\d{14,17}|[3-6]\d{15}|9\d{15,18}"
            r"|62\d{2}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?"
            r"|[3-6]\d{3}(?:[ -]\d{4}){3})(?!\d|[.-]\d)"
        ),
        bank_card,
    ),
    (
        "<手机号>",
        re.compile(
            r"(?<![\d.])(?<![A-Za-z_=-])(?:\(?(?:\+|00)?86\)?[- ]?)?1[3-9]\d"
            r"(?:\d{8}|-\d{4}-?\d{4}| \d{4} ?\d{4})(?!\d|\.\d)"
        ),
        mobile,
    ),
    # 010, 02x and 8 digits; 03xx to 09xx and 7 or 8; an extension
    (
        "<电话>",
        re.compile(
            r"(?<![\d.-])(?:\(0(?:10|2\d|[3-9]\d{2})\)[- ]?|0(?:10|2\d|[3-9]\d{2})[- ]?"
            r"|(?:\+|00)86[- ](?:10|2\d|[3-9]\d{2})[- ])"
            r"[2-8]\d{2,3}[- ]?\d{4}(?:-\d{1,5}|转\d{1,5})?(?!\d|[.-]\d)"
        ),
        lambda match: landline(match) or (match[0].startswith("(") and not amount(match)),
    ),
    ("<电话>", re.compile(r"(?<![\d.-])[48]00(?:[- ]?\d){7}(?!\d|[.-]\d)"), landline),
    # Hong Kong, Macau, Taiwan
    ("<电话>", re.compile(r"\+(?:852|853|886)[- ]?\d{1,4}[- ]?\d{3,4}[- ]?\d{3,4}(?!\d)"), bool),
    (
        "<QQ号>",
        re.compile(
            r"(?:(?<![A-Za-z])[Qq]{2}|扣扣|企鹅号?|[加我][Qq])(?:群?(?:号码|号)?(?:也?是|为)?[:\s]{0,3})"
            r"([1-9]\d{4,11})(?!\d|\.\d)"
        ),
        lambda match: not match.string[match.end() :].lstrip().startswith(MEASURES),
    ),
    # A word of letters alone may be a product: 微信：Android
    (
        "<微信号>",
        re.compile(
            r"(?:(?:微信|薇信|(?<![A-Za-z])(?:[Ww]e[Cc]hat|[VvWw][Xx]))\s?(?:号码?|ID|Id|id|账号|帐号)"
            r"(?:也?是|为)?[:\s]{0,3}|加(?:我|他|她)?(?:的)?(?:微信|[VvWw][Xx]|[Vv])[:\s]{0,3})"
            r"([A-Za-z][A-Za-z0-9_-]{5,19})(?![A-Za-z0-9_-])"
        ),
        bool,
    ),
    (
        "<微信号>",
        re.compile(
            r"(?:微信|薇信|(?<![A-Za-z])[VvWw][Xx])[:\s]{1,3}"
            r"((?=[a-z]*[\d_-])[A-Za-z][A-Za-z0-9_-]{5,19})(?![A-Za-z0-9_-])"
        ),
        bool,
    ),
    # Five places, or six of an electric car; at most three of them letters
    (
        "<车牌号>",
        re.compile(
            r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][ ·•.-]?"
            r"(?=(?:[A-Z]?\d){3}|[A-Z]{0,2}\d{3}|\d[A-Z]{0,2}\d{2})"
            r"(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[A-HJ-NP-Z0-9]{6})(?![A-Za-z0-9])"
        ),
        lambda match: sum(map(str.isdigit, match[0])) >= 3 and not amount(match),
    ),
    (
        "<护照号>",
        re.compile(
            r"(?:护照|通行证|[Pp]assport)[^，。；\n\d]{0,8}?"
            r"(?<![A-Za-z])((?:[EGDSPHKMC][A-HJ-NP-Z]?|[DSP]E)\d{7,8})(?!\d)"
        ),
        bool,
    ),
)


# Without one of these a text holds nothing to mask.
HINT = re.compile(r"[\d@＠]|微信|薇信|[Ww]e[Cc]hat|[VvWw][Xx]")


def masked_text(text: str) -> str:
    """Return a text with what `MASKED` lists masked; web addresses stay as they are.

    >>> masked_text("电话13800138000，邮箱是a.b@example.com，宇宙年龄13800000000年")
    '电话<手机号>，邮箱是<邮箱>，宇宙年龄13800000000年'
    >>> masked_text("客服400-820-8820，座机010-62345678，ISBN 978-7-302-12345-6，订单号13912345678")
    '客服<电话>，座机<电话>，ISBN 978-7-302-12345-6，订单号13912345678'
    """
    return masked(text)[0]


def masked_together(texts: Sequence[str]) -> list[str]:
    """Return texts that belong together, each masked: what one of them shows, none keeps.

    >>> masked_together(["他的QQ是12345678。QQ是多少？", '{"QQ": 12345678}'])
    ['他的QQ是<QQ号>。QQ是多少？', '{"QQ": "<QQ号>"}']
    """
    known: dict[str, str] = {}
    for text in texts:
        known |= masked(text)[1]
    if not known:
        return list(texts)
    values = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{values})(?![A-Za-z0-9])")
    return [still_json(text, hidden(masked(text)[0], pattern, known)) for text in texts]


def masked(text: str) -> tuple[str, dict[str, str]]:
    """Return a text with its personal data masked, and the mask of each that was found."""
    known: dict[str, str] = {}
    before = None if HINT.search(text) else text
    # Of two numbers side by side the first hides the second: go on until none is found.
    while text != before:
        before = text
        for mask, pattern, counts in RULES:
            for start, end in reversed(list(spans(text, pattern, counts))):
                known[text[start:end]] = mask
                text = text[:start] + mask + text[end:]
    return text, known


def spans(
    text: str, pattern: re.Pattern, counts: Callable[[re.Match], object]
) -> Iterator[tuple[int, int]]:
    """Yield where a rule finds something in a text, outside of web addresses."""
    plain = text.translate(WIDE)
    addresses = [match.span() for match in ADDRESS.finditer(plain)]
    for match in pattern.finditer(plain):
        start, end = match.span(match.re.groups)
        inside = any(first <= start < last for first, last in addresses)
        if counts(match) and not inside:
            yield start, end


def hidden(text: str, pattern: re.Pattern, known: Mapping[str, str]) -> str:
    """Return a text with every known value masked, outside of web addresses."""
    addresses = [match.span() for match in ADDRESS.finditer(text)]

    def mask(match: re.Match) -> str:
        inside = any(first <= match.start() < last for first, last in addresses)
        return match[0] if inside else known[match[0]]

    return pattern.sub(mask, text)


def still_json(before: str, after: str) -> str:
    """Return a masked text, its masks in quotes where they stand for the bare numbers of JSON."""
    if is_json(before) and not is_json(after):
        return BARE.sub(r'\1"\2"', after)
    return after


BARE = re.compile(rf"([:\[,]\s*)({'|'.join(MASKED)})(?=\s*[,\]}}])")
