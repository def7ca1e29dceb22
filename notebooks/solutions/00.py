# %% [markdown]
# **练习 1** 真的 GPT-2 一个汉字平均要 2.07 个词元。生成在第 256 个词元处停下，照这个平均数，能写完几个汉字？
#
# *The real GPT-2 takes 2.07 tokens a character on average, and generation stops at token 256. How many whole characters does that make?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = int(256 / 2.07)
### END SOLUTION
check(my_answer, 123, {
    256 / 2.07: "要整个的字 · whole characters, please",
    124: "第 124 个字只写了一半，就是那个 � · the 124th is cut: that is the �",
    256: "那是一个词元一个字 · that is one token a character",
    85: "那是三个词元一个字 · that is three tokens a character",
    529: "乘反了，要除 · divide, do not multiply",
})

# %% [markdown]
# **练习 2** 写一个函数，去掉回答末尾的坏字符 `�`；中间的留着，没有坏字符的一个字也不动。
#
# *Write a function that removes broken characters from the end of an answer and changes nothing else.*

# %%
BROKEN = "\ufffd"


def without_broken_end(answer):
    ### BEGIN SOLUTION
    return answer.rstrip(BROKEN)
    ### END SOLUTION


cases = [
    ("鸡蛋", "鸡蛋"),
    ("鸡" + BROKEN, "鸡"),
    ("鸡" + BROKEN * 2, "鸡"),
    (f"鸡{BROKEN}蛋{BROKEN}", f"鸡{BROKEN}蛋"),
    ("", ""),
]
check(without_broken_end, cases, [
    (lambda a: a.replace(BROKEN, ""), "中间的也去掉了 · those inside went, too"),
    (lambda a: a[:-1], "没有坏字符时也去掉了一个字 · a whole character went"),
    (lambda a: a.removesuffix(BROKEN), "末尾可能不止一个 · the end may hold several"),
])

# %% [markdown]
# **练习 3** 写出重复惩罚：一个词元出现过，它的得分 `score` 就要变低。`penalty` 大于 1；得分是正的，就除以它。得分是负的呢？
#
# *Write the repetition penalty: a token that was used must get a lower score. A positive score is divided by the penalty, which is above 1. What about a negative one?*

# %%
def penalised(score, penalty):
    ### BEGIN SOLUTION
    return score / penalty if score > 0 else score * penalty
    ### END SOLUTION


cases = [((3.6, 1.8), 2.0), ((-2.0, 1.8), -3.6), ((0.0, 1.2), 0.0), ((-1.0, 1.1), -1.1)]
check(penalised, cases, [
    (lambda s, p: s / p, "负数除以它反而变大 · dividing raises a negative score"),
    (lambda s, p: s * p, "正数乘以它反而变大 · multiplying raises a positive score"),
    (lambda s, p: s - p, "是除或乘，不是减 · divide or multiply, do not subtract"),
])
