# %% [markdown]
# **练习 1** 一个 256 → 704 的线性层，加上秩为 16 的 LoRA，要学多少个数？
#
# *A linear layer 256 → 704 gets a LoRA of rank 16: how many numbers are learned?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = 16 * (256 + 704)
### END SOLUTION
check(my_answer, 15_360, {
    256 * 704: "那是整个矩阵 · that is the whole matrix",
    16 * 256: "只有 A · that is A alone",
    16 * 704: "只有 B · that is B alone",
    16 * 256 * 704: "A 和 B 的大小要相加，不是相乘 · the sizes of A and B add up",
})

# %% [markdown]
# **练习 2** 写一个函数：`layers` 是每个线性层的 `(入, 出)`，`rank` 是秩，一共要学多少个数？
#
# *`layers` holds `(in, out)` of each linear layer; return how many numbers a LoRA of this rank learns.*

# %%
def lora_size(layers, rank):
    ### BEGIN SOLUTION
    return sum(rank * (inside + outside) for inside, outside in layers)
    ### END SOLUTION


cases = [
    (([(256, 704)], 16), 15_360),
    (([(256, 256), (256, 128), (256, 128), (256, 256)], 8), 14_336),
    (([], 16), 0),
]
check(lora_size, cases, [
    (lambda n, r: sum(i * o for i, o in n), "那是全部权重 · those are the full weights"),
])

# %% [markdown]
# **练习 3** 写只看回答的平均损失：`losses` 是每个位置的损失，标签是 −100 的不算；一个也不算的时候是 0。
#
# *Write the masked mean: places whose label is −100 do not count; 0 where none counts.*

# %%
def masked_mean(losses, labels):
    ### BEGIN SOLUTION
    counted = [loss for loss, label in zip(losses, labels, strict=True) if label != -100]
    return sum(counted) / len(counted) if counted else 0.0
    ### END SOLUTION


def over_all(losses, labels):
    counted = [loss for loss, label in zip(losses, labels, strict=True) if label != -100]
    return sum(counted) / len(losses)


cases = [
    (([5.0, 1.0, 3.0], [-100, 4, 9]), 2.0),
    (([5.0, 1.0], [0, 4]), 3.0),
    (([5.0, 5.0], [-100, -100]), 0.0),
]
check(masked_mean, cases, [
    (over_all, "除以了所有的位置 · divided by all places"),
    (lambda x, y: sum(x) / len(x), "提示也算进去了 · the prompt counts, too"),
])
