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
# **练习 2** 找出泄题的句子。`leaked(train, test)` 交出 `test` 里和 `train` 的某一句相似度不低于 0.5 的句子，按原来的顺序。三字串用上面的 `triples`；两句都短得没有三字串，就不算像。
#
# *Find what leaks: `leaked(train, test)` returns the sentences of `test` whose similarity to any sentence of `train` is 0.5 or more, in their order. `triples` stands above; two sentences too short for any run of three are not alike.*

# %%
def leaked(train, test):
    ### BEGIN SOLUTION
    found = []
    for sentence in test:
        own = triples(sentence)
        for seen in map(triples, train):
            if len(own & seen) >= 0.5 * max(1, len(own | seen)):
                found.append(sentence)
                break
    return found
    ### END SOLUTION


def only_equal(train, test):
    return [sentence for sentence in test if sentence in train]


def more_than_half(train, test):
    near = [[jaccard(triples(a), triples(b)) for b in train] for a in test]
    return [a for a, row in zip(test, near, strict=True) if max(row) > 0.5]


like = "樱花摄影课周日上午集合。"
cases = [
    ((["梅园周六上午开放。"], ["梅园周日上午开放。"]), []),
    ((["樱花摄影课周六上午集合。"], [like, "雨停。"]), [like]),
    ((["甲乙丙丁戊。", "今天闭园。"], ["明天开放。", "今天闭园。"]), ["今天闭园。"]),
    ((["好。"], ["是。"]), []),
    ((["今天闭园。"], ["今天闭园！"]), ["今天闭园！"]),
]
check(leaked, cases, [
    (only_equal, "那只找到一字不差的 · that finds equal ones only"),
    (more_than_half, "正好 0.5 的也算 · exactly 0.5 counts, too"),
])

# %% [markdown]
# **练习 3** 服务器不记得前面说过的话，要由程序每次都写上。`messages_for(history, question)` 把 `[[问, 答], …]` 和新的问题写成 OpenAI 协议的 `messages`。
#
# *The server remembers nothing; the program writes down what was said, every time. `messages_for(history, question)` turns `[[user, assistant], …]` and a new question into the `messages` of OpenAI's protocol.*

# %%
def messages_for(history, question):
    ### BEGIN SOLUTION
    messages = []
    for user, assistant in history:
        messages.append({"role": "user", "content": user})
        messages.append({"role": "assistant", "content": assistant})
    return [*messages, {"role": "user", "content": question}]
    ### END SOLUTION


def forgetful(history, question):
    return [{"role": "user", "content": question}]


first, again = ({"role": "user", "content": text} for text in ("在吗", "再说"))
said = {"role": "assistant", "content": "在。"}
cases = [(([], "在吗"), [first]), (([["在吗", "在。"]], "再说"), [first, said, again])]
check(messages_for, cases, [
    (forgetful, "前面说过的话没有写上 · what was said before is missing"),
])
