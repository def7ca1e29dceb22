# %% [markdown]
# **练习 1** 热身之后量了三次：1.2 秒、1.1 秒、3.0 秒（第三次，别人正在用这台机器）。该报多少秒？
#
# *After the warm-up three calls took 1.2, 1.1 and 3.0 s; somebody else used the machine during the third. Which do you report?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = sorted([1.2, 1.1, 3.0])[1]
### END SOLUTION
check(my_answer, 1.2, {
    (1.2 + 1.1 + 3.0) / 3: "那是平均数，忙的一次拖大了它 · the mean of a busy call",
    1.1: "最快的一次不是平常的样子 · the fastest is not the usual one",
    3.0: "那一次机器正忙 · the machine was busy then",
})

# %% [markdown]
# **练习 2** 写一个查泄漏的函数：`test` 里哪些句子也在 `train` 里？空格不算，顺序照 `test`。
#
# *Write a function that finds leaks: which sentences of `test` are in `train` as well? Ignore spaces; keep the order of `test`.*

# %%
def leaked(train, test):
    ### BEGIN SOLUTION
    learnt = {"".join(text.split()) for text in train}
    return [text for text in test if "".join(text.split()) in learnt]
    ### END SOLUTION


def letter_by_letter(train, test):
    return [text for text in test if text in train]


cases = [
    ((["茶圣陆羽。", "西湖在杭州。"], ["西湖在 杭州。", "泰山。"]), ["西湖在 杭州。"]),
    ((["甲 乙"], ["甲乙", "丙", "甲乙"]), ["甲乙", "甲乙"]),
    (([], ["甲"]), []),
]
check(leaked, cases, [
    (letter_by_letter, "空格不算：先去掉再比 · take the spaces away first"),
])

# %% [markdown]
# **练习 3** 两个人评了同样的 50 个答案，40 个打得一样。照他们各自打 A、B、C、D 的习惯，闭着眼打也会有 25 个一样。κ 是多少？（碰巧的 25 个先拿掉；剩下的里头，打得一样的占几成？）
#
# *Two people grade the same 50 answers and agree on 40; with their habits they would agree on 25 by chance alone. What is kappa? (Take those 25 away: of what is left, on how much do they agree?)*

# %%
### BEGIN SOLUTION
my_answer = (40 - 25) / (50 - 25)
### END SOLUTION
check(my_answer, 0.6, {
    0.8: "那是打得一样的比例，还没去掉碰巧的 · that is the share of equal grades",
    0.3: "分母也要减去碰巧的 · take chance from the denominator, too",
})
