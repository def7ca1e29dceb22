# %% [markdown]
# **练习 1** 标准答案 6 个名字，学生写了 5 个，对了 3 个。F1 是多少？
#
# *Gold has 6 names, the student wrote 5, and 3 are right. What is F1?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = 2 * 3 / (5 + 6)
### END SOLUTION
check(my_answer, 6 / 11, {
    0.6: "那是精确率 3/5 · that is precision",
    0.5: "那是召回率 3/6 · that is recall",
    0.55: "要调和平均，不是算术平均 · the harmonic mean, not the arithmetic one",
    3 / 11: "分子要乘 2 · twice the number of right ones",
})

# %% [markdown]
# **练习 2** 微平均先合计再算；**宏平均**（macro average）先给每一类算 F1，再平均，常见的类和少见的类一样重。写出来：`counts[类型] = (对, 预测, 标准)`；预测和标准都是 0 的类，F1 算 0。
#
# *Macro F1: take the F1 of each type first, then their mean, so that a rare type weighs as much as a frequent one. `counts[type] = (right, predicted, gold)`; where predicted and gold are both 0, F1 is 0.*

# %%
def macro_f1(counts):
    ### BEGIN SOLUTION
    each = []
    for right, written, wanted in counts.values():
        each.append(2 * right / (written + wanted) if written + wanted else 0.0)
    return sum(each) / len(each)
    ### END SOLUTION


def micro_of(counts):
    right, written, wanted = map(sum, zip(*counts.values(), strict=True))
    return 2 * right / (written + wanted) if written + wanted else 0.0


cases = [
    ({"地点": (9, 10, 10), "产品": (0, 1, 1)}, 0.45),
    ({"地点": (1, 2, 4)}, 1 / 3),
    ({"地点": (1, 1, 1), "作品": (0, 0, 0)}, 0.5),
]
check(macro_f1, cases, [
    (micro_of, "先合计再算，那是微平均 · that is the micro average"),
])

# %% [markdown]
# **练习 3** 自己写一个小的置换检验。`gains[i]` 是第 i 句上乙比甲多对了几个（可以是负的）。对调一句，就是把这一句的数变号。句子少的时候不用随机：把 2ⁿ 种变号都列出来，总和的绝对值不小于现在的，占几分之几？这就是 p（`itertools.product((1, -1), repeat=n)` 列出所有变号）。做完看看：四句话，乙句句都多对一个，p 能小于 0.05 吗？
#
# *Write a small permutation test. `gains[i]` says how many more names the second system (乙) gets right in sentence i than the first (甲). Swapping a sentence changes the sign of its number. List all 2ⁿ choices of signs: p is the share whose sum is at least as large as the actual one in absolute value (`itertools.product((1, -1), repeat=n)` lists them). Can four sentences ever give p below 0.05?*

# %%
def p_value(gains):
    ### BEGIN SOLUTION
    from itertools import product

    as_large = 0
    for signs in product((1, -1), repeat=len(gains)):
        total = sum(sign * gain for sign, gain in zip(signs, gains, strict=True))
        as_large += abs(total) >= abs(sum(gains))
    return as_large / 2 ** len(gains)
    ### END SOLUTION


half = {2: 1.0, 3: 3 / 8, 4: 1 / 16, 6: 1 / 64}  # 只算一边，按句数 one side only
cases = [([1, 1, 1, 1], 0.125), ([1] * 6, 0.03125), ([2, -1, 1], 0.75), ([0, 0], 1.0)]
check(p_value, cases, [
    (lambda gains: half[len(gains)], "要看绝对值，两边都算 · both sides count"),
])
