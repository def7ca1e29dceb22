# %% [markdown]
# **练习 1** 学生写一个名字用了四个词元：前引号 0.9，两个字 0.8 和 0.5，后引号 1.0。它对这个名字的把握是多少？
#
# *A name took four tokens: the opening quote 0.9, two characters 0.8 and 0.5, the closing quote 1.0. How sure is the student of the name?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = 0.9 * 0.8 * 0.5 * 1.0
### END SOLUTION
check(my_answer, 0.36, {
    0.8: "那是平均；四个都要写对，要乘 · that is the mean; all four must be right",
    0.5: "那是最小的一个 · that is the smallest one",
    0.4: "引号也要乘进去 · the quotes count, too",
})

# %% [markdown]
# **练习 2** 找出漏题的句子。`leaked(train, test)` 交出 `test` 里和 `train` 的某一句相似度不低于 0.5 的句子，按原来的顺序。三字串用上面的 `triples`。
#
# *Find what leaks: `leaked(train, test)` returns the sentences of `test` whose similarity to any sentence of `train` is 0.5 or more, in their order. `triples` stands above.*

# %%
def leaked(train, test):
    ### BEGIN SOLUTION
    found = []
    for sentence in test:
        own = triples(sentence)
        for seen in map(triples, train):
            if len(own & seen) >= 0.5 * len(own | seen):
                found.append(sentence)
                break
    return found
    ### END SOLUTION


def only_equal(train, test):
    return [sentence for sentence in test if sentence in train]


like = "樱花摄影课周日上午集合。"
cases = [
    ((["梅园周六上午开放。"], ["梅园周日上午开放。"]), []),
    ((["樱花摄影课周六上午集合。"], [like, "雨停。"]), [like]),
    ((["甲乙丙丁戊。", "今天闭园。"], ["明天开放。", "今天闭园。"]), ["今天闭园。"]),
]
check(leaked, cases, [
    (only_equal, "那只找到一字不差的 · that finds equal ones only"),
])

# %% [markdown]
# **练习 3** 50 句时 F1 是 0.40，100 句时 0.48。照对数直线，从 100 句再标 100 句，F1 会涨多少？
#
# *F1 was 0.40 at 50 sentences and 0.48 at 100. By the line in the logarithm, what do 100 more bring?*

# %%
### BEGIN SOLUTION
my_answer = 0.48 - 0.40
### END SOLUTION
check(my_answer, 0.08, {
    0.16: "那是照句数的直线；要照对数 · that line is in sentences, not in their log",
    0.56: "那是 200 句时的 F1，问的是涨多少 · that is F1 itself, not the gain",
})
