# %% [markdown]
# **练习 1** 一千个请求，每个送去 300 个词元、拿回 200 个；价格是每百万词元：送去 2 元，拿回 8 元。一共多少元？
#
# *A thousand requests, each with 300 tokens in and 200 out, at 2 yuan per million tokens in and 8 out. How many yuan in all?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = 1000 * (300 * 2 + 200 * 8) / 1_000_000
### END SOLUTION
check(my_answer, 2.2, {
    2_200_000: "价格是每百万词元的 · the price is for a million tokens",
    0.0022: "那只是一个请求的 · that is one request",
    0.6: "只算了送去的 · that is only what goes in",
    1.6: "只算了拿回的 · that is only what comes back",
})

# %% [markdown]
# **练习 2** 写一个函数，判断回复能不能用：`finish` 是 `stop`、去掉空白还有字，才能用；写到一半的（`length`）不能。
#
# *Write a function: is a reply usable? Only if its `finish` is `stop` and its text is more than white space; one that was cut (`length`) is not.*

# %%
def usable(reply):
    ### BEGIN SOLUTION
    return reply["finish"] == "stop" and bool(reply["text"].strip())
    ### END SOLUTION


cases = [
    ({"text": "骆驼吃草。", "finish": "stop"}, True),
    ({"text": "1. 西瓜，水分足。2. 桃", "finish": "length"}, False),
    ({"text": " \n", "finish": "stop"}, False),
    ({"text": "", "finish": "stop"}, False),
]
check(usable, cases, [
    (lambda r: r["finish"] == "stop", "空的回复也算进去了 · empty replies count, too"),
    (lambda r: bool(r["text"].strip()), "写到一半的也算进去了 · cut ones count, too"),
])

# %% [markdown]
# **练习 3** 教师常写编号的清单。写一个函数，返回每一条，不要编号。
#
# *Teachers often answer with a numbered list. Write a function that returns its items without the numbers.*

# %%
def numbered(text):
    ### BEGIN SOLUTION
    import re

    return re.findall(r"(?m)^\d+[.、．]\s*(.+?)\s*$", text)
    ### END SOLUTION


def all_digits_gone(text):
    listed = [line for line in text.splitlines() if line[:1].isdigit()]
    return ["".join(c for c in line if c not in "0123456789.、 ") for line in listed]


cases = [
    ("1. 写一首诗\n2. 讲个笑话", ["写一首诗", "讲个笑话"]),
    ("好的：\n1、写3个比喻句\n2、算12加5\n", ["写3个比喻句", "算12加5"]),
    ("没有清单", []),
]
check(numbered, cases, [
    (str.splitlines, "编号还在，客套话也在 · numbers and small talk are still there"),
    (all_digits_gone, "题目里的数字要留着 · digits inside an item stay"),
])
