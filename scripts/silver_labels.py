"""Label sentences by rules, beside the teacher: what it does not name, and what follows from names.

In: a sentence and the teacher's spans. Out: spans of finer types, relations, events. A rule is a
row of a table here; each is right often enough to teach a form, none is right always. They shape
the base's pre-training only (`scripts/pretrain.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A part of a sentence, `[start, end)` in characters, and what it is."""

    start: int
    end: int
    kind: str


class Relation(NamedTuple):
    """Two spans of one sentence and how they belong together."""

    head: Span
    kind: str
    tail: Span


class Event(NamedTuple):
    """A trigger and the spans that take part, each as (role, span)."""

    kind: str
    trigger: Span
    arguments: tuple[tuple[str, Span], ...]


def words(text: str) -> list[str]:
    """Return the words of a table's cell."""
    return text.split()


# How a type may be called in a question. What stands first is the name used below.
SYNONYMS = {
    "人物": "人物 人名 姓名 人 角色 名字",
    "地点": "地点 地名 位置 地址 地区 所在地",
    "机构": "机构 组织 单位 组织机构 团体 机构名称",
    "时间": "时间 日期 时间点 时候",
    "作品": "作品 书名 作品名 作品名称 文艺作品",
    "专名": "专名 专有名词",
    "产品": "产品 产品名 品牌 商品",
    "数量": "数量 数字 数值",
    "引语": "引语 引号里的话 引文",
    "括注": "括注 括号里的话",
    "外文": "外文 英文 外文词",
    "职位": "职位 职务 头衔 身份 职称",
    "并列": "并列的词 列举的东西 并列成分",
    "公司": "公司 企业 公司名",
    "政府": "政府 政府机构 政府部门 官方机构",
    "学校": "学校 院校 高校",
    "医院": "医院 医疗机构",
    "球队": "球队 队伍 运动队",
    "媒体": "媒体 报刊 出版机构",
    "国家": "国家 国名 国籍",
    "政区": "行政区 城市 省市",
    "山水": "山川 山水 自然地物 江河湖海",
    "道路": "道路 街道 路名",
    "景点": "景点 名胜 建筑 旅游景点",
    "年份": "年份 年代",
    "电影": "电影 影片 电影名",
    "剧集": "电视剧 剧集 节目",
    "书籍": "书籍 小说 图书 书",
    "歌曲": "歌曲 音乐作品 专辑",
    "游戏": "游戏 电子游戏 游戏名",
    "民族": "民族 族群",
    "学历": "学历 学位",
    "专业": "专业 学科",
    "金额": "金额 钱数 价格",
    "比例": "比例 百分比 占比",
    "朝代": "朝代",
    "生物": "生物 动植物 动物",
    "食物": "食物 菜名 食品",
}
NAMES = {kind: names.split() for kind, names in SYNONYMS.items()}

# A type whose names also are names of a coarser type: both are never asked in one question.
COARSER = {
    **dict.fromkeys(words("公司 政府 学校 医院 球队 媒体"), "机构"),
    **dict.fromkeys(words("国家 政区 山水 道路 景点"), "地点"),
    **dict.fromkeys(words("电影 剧集 书籍 歌曲 游戏"), "作品"),
    **dict.fromkeys(words("金额 比例"), "数量"),
    "产品": "专名",
    "年份": "时间",
    "朝代": "时间",
}

# What a coarse name must look like to be of a finer type.
FINER = (
    ("机构", "公司", r".*(?:公司|集团|银行|企业|工厂|厂|证券|保险|航空)"),
    (
        "机构",
        "政府",
        r".*(?:政府|国务院|委员会|[部局厅署院府]|法院|检察院|公安局|外交部|议会|国会)",
    ),
    ("机构", "学校", r".*(?:大学|学院|中学|小学|学校|幼儿园|军校)"),
    ("机构", "医院", r".*(?:医院|诊所|卫生院)"),
    ("机构", "球队", r".*(?:队|俱乐部)"),
    ("机构", "媒体", r".*(?:报|日报|晚报|出版社|电视台|电台|杂志社|通讯社|新闻社|书局|频道)"),
    ("地点", "政区", r".*[省市县区州镇乡村郡]"),
    ("地点", "山水", r".*[山河江湖海岛峰溪洋湾谷泉岭]"),
    ("地点", "道路", r".*(?:路|街|大道|公路|高速|胡同|巷|铁路|桥)"),
    ("地点", "景点", r".*(?:公园|寺|庙|塔|宫|景区|博物馆|广场|故居|教堂|城堡|陵|祠|楼|殿|馆)"),
    (
        "专名",
        "产品",
        r".*(?:号|牌|型|手机|软件|系统|浏览器|汽车|飞机|战机|导弹|火箭|卫星|舰|处理器)",
    ),
    ("时间", "年份", r"(?:公元)?(?:前)?\d{2,4}年"),
)
COUNTRIES = words(
    "中国 美国 英国 法国 德国 日本 俄罗斯 苏联 韩国 朝鲜 印度 意大利 西班牙 葡萄牙 荷兰 比利时 "
    "瑞士 瑞典 挪威 丹麦 芬兰 波兰 奥地利 匈牙利 捷克 希腊 土耳其 埃及 以色列 伊朗 伊拉克 "
    "沙特阿拉伯 巴西 阿根廷 墨西哥 加拿大 澳大利亚 新西兰 泰国 越南 马来西亚 新加坡 印度尼西亚 "
    "菲律宾 缅甸 柬埔寨 蒙古 乌克兰 爱尔兰 古巴 智利 秘鲁 南非 尼日利亚 肯尼亚 巴基斯坦 阿富汗 "
    "哈萨克斯坦 "
)
PEOPLES = words(
    "汉族 满族 回族 藏族 蒙古族 维吾尔族 壮族 苗族 彝族 土家族 朝鲜族 侗族 瑶族 白族 哈尼族 傣族 "
    "黎族 畲族 高山族 哈萨克族 纳西族 羌族 锡伯族 鄂温克族 达斡尔族 "
)
DYNASTIES = words(
    "夏朝 商朝 周朝 西周 东周 春秋 战国 秦朝 汉朝 西汉 东汉 三国 晋朝 西晋 东晋 南北朝 隋朝 唐朝 "
    "五代 宋朝 北宋 南宋 辽朝 金朝 元朝 明朝 清朝 明代 清代 唐代 宋代 元代 汉代 民国 "
)
TITLES = words(
    "董事长 副董事长 总经理 副总经理 经理 总裁 副总裁 首席执行官 董事 独立董事 监事 董事会秘书 "
    "财务总监 总监 主任 副主任 处长 副处长 局长 副局长 部长 副部长 厅长 科长 市长 副市长 省长 "
    "县长 镇长 村长 区长 州长 总统 副总统 总理 首相 主席 副主席 总书记 书记 副书记 秘书长 秘书 "
    "议员 大使 法官 律师 检察长 院长 副院长 校长 副校长 教授 副教授 讲师 教师 老师 研究员 工程师 "
    "高级工程师 会计师 经济师 博士 院士 科学家 物理学家 化学家 数学家 生物学家 历史学家 哲学家 "
    "思想家 文学家 作家 诗人 小说家 剧作家 画家 书法家 音乐家 作曲家 歌手 演员 导演 编剧 制片人 "
    "主持人 记者 编辑 主编 摄影师 建筑师 设计师 医生 护士 司令 将军 元帅 上将 中将 少将 军长 "
    "师长 团长 连长 皇帝 国王 女王 王子 公主 太子 丞相 宰相 尚书 刺史 太守 知府 知县 巡抚 总督 "
    "大臣 教练 主教练 球员 队长 前锋 后卫 门将 中场 裁判 运动员 厨师 司机 船长 传教士 主教 神父 "
    "牧师 和尚 道士 "
)
DEGREES = words(
    "大专 本科 硕士 博士 学士 研究生 大学本科 硕士研究生 博士研究生 中专 高中 博士学位 硕士学位 "
    "学士学位 "
)
LIVING = words(
    "骆驼 大熊猫 熊猫 老虎 东北虎 狮子 雪豹 花豹 大象 犀牛 河马 长颈鹿 斑马 猴子 猩猩 大猩猩 "
    "狒狒 猕猴 长臂猿 狼 豺 狐狸 北极狐 兔子 野兔 松鼠 花栗鼠 老鼠 田鼠 仓鼠 豚鼠 刺猬 豪猪 蝙蝠 "
    "黄鼠狼 水獭 海獭 河狸 浣熊 小熊猫 棕熊 黑熊 北极熊 獾 猞猁 野猪 驯鹿 麋鹿 狍子 "
    "藏羚羊 牦牛 水牛 黄牛 奶牛 野牛 山羊 绵羊 岩羊 牛 马 羊 猪 狗 猫 驴 骡 野马 袋鼠 考拉 "
    "树懒 食蚁兽 穿山甲 鸭嘴兽 土拨鼠 鼹鼠 鸡 鸭 鹅 公鸡 母鸡 火鸡 野鸭 鹌鹑 野鸡 老鹰 鹰 隼 "
    "秃鹫 猫头鹰 麻雀 燕子 乌鸦 喜鹊 大雁 海鸥 信天翁 鹦鹉 企鹅 孔雀 斑鸠 杜鹃 百灵 "
    "画眉 黄鹂 啄木鸟 翠鸟 戴胜 鸵鸟 鸳鸯 白鹭 苍鹭 朱鹮 鹈鹕 火烈鸟 蜂鸟 山雀 金雕 仙鹤 "
    "蛇 眼镜蛇 响尾蛇 蟒蛇 竹叶青 乌龟 海龟 陆龟 甲鱼 鳄鱼 扬子鳄 蜥蜴 壁虎 变色龙 青蛙 牛蛙 "
    "树蛙 蝌蚪 蟾蜍 娃娃鱼 蝾螈 鲤鱼 草鱼 鲫鱼 鲢鱼 鲈鱼 黑鱼 鲶鱼 泥鳅 黄鳝 金鱼 带鱼 鳗鱼 鳕鱼 "
    "三文鱼 金枪鱼 沙丁鱼 河豚 中华鲟 江豚 白鳍豚 海马 鲨鱼 鳐鱼 鲸鱼 抹香鲸 座头鲸 虎鲸 海豚 "
    "海豹 海狮 海象 儒艮 螃蟹 河蟹 龙虾 小龙虾 对虾 章鱼 乌贼 鱿鱼 鹦鹉螺 水母 海星 海胆 海参 "
    "珊瑚 牡蛎 扇贝 河蚌 田螺 蜗牛 蛞蝓 蚯蚓 水蛭 蚂蚁 白蚁 蜜蜂 黄蜂 熊蜂 蝴蝶 飞蛾 家蚕 蚕 "
    "蚊子 苍蝇 果蝇 蜘蛛 蝎子 蜈蚣 蜻蜓 豆娘 蝉 蟋蟀 蝈蝈 蝗虫 蚱蜢 螳螂 萤火虫 瓢虫 独角仙 天牛 "
    "甲虫 蟑螂 跳蚤 虱子 恐龙 霸王龙 剑齿虎 猛犸象 始祖鸟 松树 油松 马尾松 红松 云杉 冷杉 柏树 "
    "侧柏 柳树 垂柳 杨树 白杨 榆树 榕树 桦树 白桦 橡树 枫树 槐树 樟树 桉树 椰子树 棕榈 银杏 水杉 "
    "红豆杉 梧桐 泡桐 合欢 木棉 茶树 枣树 柿子树 苹果树 橡胶树 竹子 毛竹 仙人掌 芦荟 芦苇 "
    "香蒲 红树 红树林 浮萍 梅花 腊梅 兰花 菊花 荷花 睡莲 牡丹 芍药 玫瑰 月季 蔷薇 海棠 丁香 茉莉 "
    "百合 桂花 桃花 樱花 杏花 梨花 紫藤 凌霄 山茶 杜鹃花 迎春花 向日葵 蒲公英 牵牛花 石榴花 木槿 "
    "鸡冠花 凤仙花 水仙 薰衣草 雪莲 人参 枸杞 黄连 当归 甘草 灵芝 薄荷 艾草 狗尾草 苜蓿 含羞草 "
    "爬山虎 常春藤 捕蝇草 水稻 小麦 大麦 燕麦 玉米 大豆 高粱 谷子 荞麦 棉花 油菜 甘蔗 甜菜 烟草 "
    "花生 芝麻 苔藓 地衣 蕨类 海藻 绿藻 真菌 细菌 大肠杆菌 酵母菌 病毒 "
)
FOODS = words(
    "米饭 炒饭 盖浇饭 煲仔饭 寿司饭 稀饭 白粥 小米粥 皮蛋瘦肉粥 八宝粥 面条 拉面 凉面 炸酱面 "
    "担担面 刀削面 热干面 阳春面 方便面 意大利面 乌冬面 荞麦面 米线 米粉 河粉 粉丝 馒头 花卷 "
    "窝头 烧饼 油条 煎饼 葱油饼 手抓饼 煎饼果子 鸡蛋灌饼 饺子 水饺 锅贴 包子 小笼包 生煎包 馄饨 "
    "抄手 春卷 粽子 汤圆 元宵 青团 年糕 糍粑 麻花 糖葫芦 驴打滚 绿豆糕 桂花糕 萝卜糕 豆腐 "
    "豆腐干 豆浆 豆腐脑 豆花 腐乳 臭豆腐 腐竹 凉粉 牛奶 羊奶 酸奶 奶酪 奶粉 黄油 奶油 炼乳 鸡蛋 "
    "荷包蛋 茶叶蛋 咸鸭蛋 皮蛋 松花蛋 牛肉 牛排 牛腩 牛肉面 羊肉 羊蝎子 猪肉 五花肉 鸡肉 鸡翅 "
    "炸鸡 鸭肉 鸭血 鱼肉 鱼丸 鱼片 虾仁 鱼子酱 排骨 猪蹄 火腿 香肠 热狗 腊肉 腊肠 培根 肉松 肉丸 "
    "红烧肉 回锅肉 梅菜扣肉 锅包肉 鱼香肉丝 水煮鱼 酸菜鱼 剁椒鱼头 西湖醋鱼 白切鸡 叫花鸡 口水鸡 "
    "辣子鸡 麻婆豆腐 糖醋排骨 东坡肉 狮子头 佛跳墙 烤鸭 烤鱼 烤肉 烤全羊 涮羊肉 火锅 "
    "麻辣烫 麻辣香锅 关东煮 羊肉串 羊肉泡馍 大盘鸡 手抓饭 馕 酸辣粉 地三鲜 "
    "西红柿炒鸡蛋 拍黄瓜 酸辣土豆丝 佛手瓜 白菜 大白菜 娃娃菜 菠菜 芹菜 韭菜 生菜 油麦菜 空心菜 "
    "西兰花 花椰菜 荠菜 茼蒿 莴笋 竹笋 芦笋 豆芽 萝卜 胡萝卜 土豆 红薯 紫薯 芋头 山药 莲藕 番茄 "
    "西红柿 黄瓜 冬瓜 南瓜 苦瓜 丝瓜 茄子 辣椒 青椒 洋葱 大葱 大蒜 生姜 豆角 四季豆 豌豆 毛豆 "
    "蚕豆 绿豆 红豆 蘑菇 香菇 金针菇 木耳 银耳 海带 紫菜 苹果 香蕉 西瓜 哈密瓜 葡萄 葡萄干 橘子 "
    "橙子 柚子 柠檬 梨 雪梨 桃子 水蜜桃 李子 杏子 樱桃 车厘子 草莓 蓝莓 桑葚 杨梅 荔枝 龙眼 榴莲 "
    "芒果 木瓜 火龙果 菠萝 椰子 石榴 柿子 柿饼 红枣 山楂 猕猴桃 无花果 牛油果 茶 绿茶 红茶 "
    "乌龙茶 龙井茶 铁观音 菊花茶 奶茶 酥油茶 咖啡 拿铁 可可 可乐 雪碧 汽水 果汁 橙汁 苹果汁 椰汁 "
    "矿泉水 冰红茶 啤酒 白酒 黄酒 米酒 茅台酒 葡萄酒 红酒 香槟 威士忌 伏特加 面包 法棍 吐司 "
    "牛角包 甜甜圈 蛋糕 蛋挞 华夫饼 马卡龙 曲奇 爆米花 薯片 披萨 汉堡 汉堡包 三明治 薯条 "
    "沙拉 寿司 生鱼片 天妇罗 味噌汤 石锅拌饭 冬阴功汤 咖喱 咖喱饭 墨西哥卷饼 巧克力 糖果 "
    "大白兔奶糖 口香糖 棉花糖 果冻 冰淇淋 雪糕 冰棍 布丁 双皮奶 龟苓膏 绿豆汤 鸡汤 "
    "紫菜蛋花汤 罗宋汤 蜂蜜 果酱 花生酱 豆瓣酱 辣椒酱 番茄酱 沙拉酱 酱油 食醋 陈醋 料酒 香油 "
    "花椒 八角 桂皮 孜然 胡椒 芥末 食盐 白糖 红糖 味精 鸡精 核桃 杏仁 腰果 开心果 板栗 瓜子 泡菜 "
    "酸菜 榨菜 咸菜 辣条 火锅底料 "
)
PRODUCTS = words(
    "iPhone iPad iPod MacBook Windows Linux Android 安卓 鸿蒙 鸿蒙系统 Unix Photoshop Word "
    "PowerPoint Office Chrome Firefox Safari 微信 支付宝 微博 抖音 快手 淘宝 拼多多 百度地图 "
    "腾讯会议 飞书 企业微信 QQ Gmail YouTube Facebook Twitter Instagram WhatsApp Skype Siri "
    "ChatGPT TensorFlow PyTorch React Vue MySQL Redis Docker Git GitHub Java JavaScript PHP Rust "
    "Fortran Xbox PlayStation Wii Switch 红白机 游戏机 收音机 电视机 洗衣机 电冰箱 冰箱 "
    "微波炉 电饭锅 吸尘器 空调 缝纫机 打字机 照相机 望远镜 无人机 扫地机器人 智能手机 平板电脑 "
    "笔记本电脑 电动车 自行车 摩托车 拖拉机 五菱宏光 桑塔纳 捷达 奥拓 夏利 雅阁 凯美瑞 卡罗拉 "
    "高尔夫 普锐斯 东方红拖拉机 解放卡车 红旗轿车 凤凰自行车 永久自行车 飞鸽自行车 上海牌手表 "
    "英雄钢笔 海鸥相机 波音747 波音777 空客A320 协和式飞机 运-20 歼-10 歼-20 东风导弹 爱国者导弹 "
    "长征五号 长征三号 猎鹰9号 土星五号 神舟五号 神舟十二号 天宫一号 天问一号 嫦娥三号 嫦娥五号 "
    "玉兔号 祝融号 东方红一号 北斗卫星 风云二号 哈勃望远镜 旅行者1号 卡西尼号 阿波罗11号 "
    "哥伦比亚号 挑战者号 联盟号 蛟龙号 雪龙号 山东舰 福建舰 泰坦尼克号 俾斯麦号 大和号 复兴号 "
    "天河一号 神威太湖之光 银河计算机 龙芯 麒麟芯片 骁龙处理器 奔腾处理器 T-34坦克 99式坦克 "
    "AK-47 M16步枪 阿司匹林 青霉素 胰岛素 奎宁 布洛芬 板蓝根 云南白药 可口可乐 百事可乐 花露水 "
    "洗发水 牙膏 口红 香水 乐高积木 芭比娃娃 魔方 "
)

# Names made of two parts, of the types that the lists know: more dishes, species and makes than any
# list has, so that what they end in tells what they are.
COINED = {
    "食物": (
        words(
            "红烧 清蒸 清炒 爆炒 干煸 凉拌 油炸 香煎 蒜蓉 糖醋 椒盐 酱爆 麻辣 香辣 酸辣 葱爆 "
            "炭烤 孜然 五香 豆沙 椰香 抹茶 草莓 芒果 冰糖 广式 苏式 川味 手工 原味 海鲜 鲜虾 "
            "香菇 芝士 红豆 桂花 玫瑰 "
        ),
        words(
            "茄子 鲈鱼 鱼片 虾球 牛肉 羊排 鸡丁 鸡腿 肉丝 排骨 豆腐 土豆丝 白菜 蘑菇 粉丝 米线 "
            "拌面 拉面 炒饭 焖饭 水饺 包子 月饼 粽子 饼干 糕 酥 蛋糕 布丁 汤 羹 粥 奶茶 汽水 "
            "果汁 酒 火锅 丸子 煎饼 馅饼 卷 酱 沙拉 套餐 拼盘 "
        ),
    ),
    "生物": (
        words(
            "白 黑 红 金 银 灰 花 大 小 长尾 短尾 斑 白头 黑颈 赤 紫 蓝 绿 东方 中华 高山 沙漠 "
            "滇 藏 非洲 美洲 亚洲 北极 野 巨 侏 双角 三趾 "
        ),
        words(
            "鹤 鹭 雁 鸭 雀 鸦 鹰 鸮 鹿 猴 羊 狐 鼠 熊 豹 狼 蛇 蛙 龟 鱼 鲨 鲸 虾 蟹 蝶 蜂 蛾 蚁 "
            "甲虫 蜘蛛 松 柏 杉 杨 柳 竹 槐 桐 兰 菊 莲 杜鹃 百合 草 藤 蕨 苔 虫 鸟 犬 猪 蝠 龙 "
        ),
    ),
    "产品": (
        words(
            "银河 远望 凤凰 天鹰 海燕 红星 晨光 蓝鲸 雄鹰 极光 朝阳 巨浪 和平 希望 先锋 机遇 "
            "信使 云帆 飞跃 长风 Nova Orion Pixel Atlas Vega Aero Zen K T "
        ),
        words(
            "号 一号 二号 号飞船 号卫星 号潜艇 号列车 牌手表 牌钢笔 牌自行车 手机 平板 浏览器 "
            "输入法 汽车 无人机 播放器 相机 5 X7 Pro Mini 3 A20 80 9S "
        ),
    ),
}
LISTED = {"食物": FOODS, "生物": LIVING, "产品": PRODUCTS}


def any_of(words: Sequence[str]) -> str:
    """Return a pattern for any of the words, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


NUMBER = r"(?:\d[\d,.]*|[一二两三四五六七八九十百千万亿]+)"
# Patterns that name a type by themselves; group 1, where there is one, is the span.
PATTERNS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("电影", r"(?:电影|影片|执导的|执导)《([^《》]{1,20})》"),
        ("剧集", r"(?:电视剧|连续剧|剧集|节目|综艺|动画)《([^《》]{1,20})》"),
        ("书籍", r"(?:小说|著作|著有|专著|诗集|散文集|一书|长篇|名著)《([^《》]{1,20})》"),
        ("歌曲", r"(?:歌曲|单曲|专辑|主题曲|唱片)《([^《》]{1,20})》"),
        ("游戏", r"(?:游戏|手游|网游)《([^《》]{1,20})》"),
        ("作品", r"《([^《》]{1,20})》"),
        ("引语", r"“([^“”]{1,25})”"),
        ("括注", r"（([^（）]{1,20})）"),
        ("外文", r"[A-Za-z][A-Za-z .\-]{1,25}[A-Za-z]"),
        ("金额", NUMBER + r"(?:多)?(?:元|美元|欧元|英镑|日元|港元|人民币)"),
        ("比例", r"\d[\d.]*[%％]|百分之[一二三四五六七八九十百点]+"),
        (
            "数量",
            NUMBER + r"(?:公里|平方公里|米|厘米|毫米|吨|公斤|克|度|名|个|岁|人|次|条|座|家|层|页)",
        ),
        ("职位", f"(?:{any_of(TITLES)})"),
        ("学历", f"(?:{any_of(DEGREES)})"),
        ("民族", f"(?:{any_of(PEOPLES)})"),
        ("朝代", f"(?:{any_of(DYNASTIES)})"),
        ("生物", f"(?:{any_of([word for word in LIVING if len(word) > 1])})"),
        ("食物", f"(?:{any_of([word for word in FOODS if len(word) > 1])})"),
        ("产品", f"(?<![A-Za-z])(?:{any_of(PRODUCTS)})(?![A-Za-z])"),
        ("专业", r"([一-鿿]{2,6}(?:工程|科学|技术|管理|经济|会计|法律|文学|数学|物理|化学))专业"),
    )
)
LIST = re.compile(r"(?:[一-鿿A-Za-z0-9]{1,8}、){2,}[一-鿿A-Za-z0-9]{1,8}?(?=等|和|[，。；])")


# Types whose names may stand inside any other's, or around it.
ANYWHERE = {"引语", "括注", "外文", "作品", *COARSER} - {"产品"}


def named(sentence: str, spans: Sequence[Span]) -> list[Span]:
    """Return all spans of a sentence, the teacher's and those of the rules, in order.

    A finer type stands beside its coarser one, never in its place.

    >>> [sentence[a:b] + k for sentence in ["华山公司的王芳看了电影《红高粱》。"]
    ...  for a, b, k in named(sentence, [Span(0, 4, "机构"), Span(5, 7, "人物")])]
    ['华山公司公司', '华山公司机构', '王芳人物', '红高粱作品', '红高粱电影']
    """
    found = list(dict.fromkeys(spans))
    for span in spans:
        name = sentence[span.start : span.end]
        if span.kind == "地点" and name in COUNTRIES:
            found.append(span._replace(kind="国家"))
            continue
        for coarse, fine, pattern in FINER:
            if span.kind == coarse and len(name) > 2 and re.fullmatch(pattern, name):
                found.append(span._replace(kind=fine))
                break

    # What the teacher names, a rule does not name differently: 王教授 may be a person's name, and
    # 红高粱 in a title is no plant.
    for kind, pattern in PATTERNS:
        taken = [*spans, *(s for s in found if s.kind == "作品")]
        for match in pattern.finditer(sentence):
            start, end = match.span(1 if match.re.groups else 0)
            there = {s.kind for s in taken if s.start < end and start < s.end}
            if kind in ANYWHERE or not there - {COARSER.get(kind)}:
                found.append(Span(start, end, kind))
    for match in LIST.finditer(sentence):
        at = match.start()
        for word in match.group().split("、"):
            found.append(Span(at, at + len(word), "并列"))
            at += len(word) + 1
    return sorted(without_overlap(found))


def renamed(sentence: str, spans: Sequence[Span], place: Span, name: str) -> tuple[str, list[Span]]:
    """Return a sentence with another name at a place, and its spans where they stand then.

    What reaches into the place or lies within it is no span any more.

    >>> renamed("王芳吃饺子。", [Span(0, 2, "人物"), Span(3, 5, "食物")], Span(3, 5, "食物"), "馕")
    ('王芳吃馕。', [Span(start=0, end=2, kind='人物'), Span(start=3, end=4, kind='食物')])
    """
    longer = len(name) - (place.end - place.start)
    moved = []
    for span in spans:
        if span.end <= place.start:
            moved.append(span)
        elif span.start >= place.end:
            moved.append(Span(span.start + longer, span.end + longer, span.kind))
        elif span.start <= place.start and place.end <= span.end:
            moved.append(span._replace(end=span.end + longer))
    return sentence[: place.start] + name + sentence[place.end :], moved


def without_overlap(spans: Sequence[Span]) -> list[Span]:
    """Return the spans less those that overlap an earlier one of the same type."""
    kept: list[Span] = []
    for span in dict.fromkeys(spans):
        clash = (
            s for s in kept if s.kind == span.kind and s.start < span.end and span.start < s.end
        )
        if next(clash, None) is None:
            kept.append(span)
    return kept


# ---- relations

SPEAKS = r"[^。；“”]{0,8}?(?:说|道|问|答|喊|叫|表示|认为|指出|回答)[^。；“”]{0,3}[：:，]?“"
# (relation, what it may be called, type before, what stands between, type after, head comes last)
RELATIONS = tuple(
    (kind, names.split(), first.split(), re.compile(between), second.split(), swapped)
    for kind, names, first, between, second, swapped in (
        (
            "位于",
            "位于 所在地 地点",
            "地点 机构 专名 景点",
            r"[，是]?(?:位于|坐落于|坐落在|地处|设在|设于)",
            "地点",
            False,
        ),
        ("总部地点", "总部地点 总部", "机构", r"[，的]?总部(?:设在|设于|位于|在)", "地点", False),
        (
            "出生地",
            "出生地 籍贯",
            "人物",
            r"[^。；]{0,8}?(?:出生于|生于|出生在|诞生于|出身于)",
            "地点",
            False,
        ),
        ("出生日期", "出生日期 生日", "人物", r"(?:[，]?(?:出生于|生于)|[（(])", "时间", False),
        (
            "毕业院校",
            "毕业院校 母校 就读学校",
            "人物",
            r"[^。；]{0,8}?(?:毕业于|就读于|考入|入读|考上了?)",
            "机构",
            False,
        ),
        (
            "任职机构",
            "任职机构 工作单位",
            "人物",
            r"[^。；]{0,4}?(?:加入|任职于|进入|就职于|任教于|效力于)",
            "机构",
            False,
        ),
        (
            "成立时间",
            "成立时间 创建时间 建立时间",
            "机构 地点 专名",
            r"[^。；]{0,4}?(?:成立于|创立于|创建于|创办于|始建于|建于|建成于)",
            "时间",
            False,
        ),
        (
            "创始人",
            "创始人 创办人",
            "人物",
            r"(?:于|在)?[^。；，]{0,8}?(?:创立|创办|创建|建立|成立)了?(?:的)?",
            "机构",
            True,
        ),
        (
            "作者",
            "作者 著者",
            "人物",
            r"[^。；，《]{0,6}?(?:的|所著|著|写了|写的|创作的?|撰写的?|发表的?)[^。；，《]{0,6}《",
            "作品",
            True,
        ),
        (
            "导演",
            "导演 执导者",
            "人物",
            r"[^。；，《]{0,4}?(?:执导|导演|拍摄)[^。；，《]{0,6}《",
            "作品",
            True,
        ),
        (
            "主演",
            "主演 演员",
            "人物",
            r"[^。；，《]{0,6}?(?:主演|出演|参演|饰演)[^。；，《]{0,8}《",
            "作品",
            True,
        ),
        ("职务", "职务 职位 身份", "职位", r"", "人物", True),
        (
            "职务",
            "职务 职位 身份",
            "人物",
            r"[^。；，]{0,6}?(?:担任|任|出任|当选为?|就任|是|为)[^。；，]{0,6}?",
            "职位",
            False,
        ),
        ("国籍", "国籍 国家", "国家", r"[^。；，、和与]{0,4}", "人物", True),
        ("首都", "首都 首府", "地点", r"(?:的)?首[都府](?:是|为)?", "地点", False),
        ("父亲", "父亲", "人物", r"(?:的|之)父亲?(?:是|为|，)?", "人物", False),
        ("母亲", "母亲", "人物", r"(?:的|之)母亲?(?:是|为|，)?", "人物", False),
        (
            "配偶",
            "配偶 妻子 丈夫",
            "人物",
            r"(?:的|之)(?:妻子?|丈夫|夫人)(?:是|为|，)?",
            "人物",
            False,
        ),
        (
            "儿子",
            "儿子 子女",
            "人物",
            r"(?:的|之)(?:长|次|幼)?[子女]儿?(?:是|为|，)?",
            "人物",
            False,
        ),
        ("说的话", "说的话 引语 发言", "人物", SPEAKS, "引语", False),
        (
            "原产地",
            "原产地 产地",
            "专名 生物 食物",
            r"[^。；，]{0,4}?(?:原产于?|产于|产自|盛产于)",
            "地点",
            False,
        ),
        (
            "又名",
            "又名 别名 简称",
            "人物 地点 机构 专名 作品",
            r"[》]?[，（(]?(?:又名|又称|别名|亦称|简称|俗称|原名|本名|旧称)“?",
            "人物 地点 机构 专名 引语 外文",
            False,
        ),
    )
)
CALLED = {kind: names for kind, names, *_ in RELATIONS}


def relations(sentence: str, spans: Sequence[Span]) -> list[Relation]:
    """Return the relations of a sentence: two neighbouring spans with a telling text between them.

    >>> text = "鲁迅出生于绍兴。"
    >>> [found] = relations(text, [Span(0, 2, "人物"), Span(5, 7, "地点")])
    >>> found.kind, found.tail
    ('出生地', Span(start=5, end=7, kind='地点'))
    """
    found = []
    for kind, _, first, between, second, swapped in RELATIONS:
        for left in spans:
            if left.kind not in first:
                continue
            for right in spans:
                near = left.end <= right.start <= left.end + 24
                fits = near and right.kind in second
                if fits and between.fullmatch(sentence, left.end, right.start):
                    head, tail = (right, left) if swapped else (left, right)
                    found.append(Relation(head, kind, tail))
                    break
    return list(dict.fromkeys(found))


# ---- events

# Event type: its triggers; its roles, each with the type that fills it and the side it stands on.
EVENTS = {
    kind: (triggers.split(), [tuple(role.split(":")) for role in roles.split()])
    for kind, triggers, roles in (
        ("出版", "出版 发表 刊行 问世", "作者:人物:前 作品:作品: 时间:时间: 出版方:机构:"),
        ("成立", "成立 创立 创办 创建 组建", "创办者:人物:前 机构:机构: 时间:时间: 地点:地点:"),
        ("收购", "收购 并购 买下 购入", "收购方:机构:前 被收购方:机构:后 时间:时间: 金额:金额:"),
        ("获奖", "获得 荣获 赢得 夺得 获", "获奖者:人物:前 奖项:专名:后 时间:时间: 作品:作品:"),
        ("当选", "当选 就任 出任 担任 上任", "人物:人物:前 职位:职位:后 时间:时间: 机构:机构:"),
        ("出生", "出生 诞生 生于", "人物:人物: 时间:时间: 地点:地点:"),
        ("去世", "去世 逝世 病逝 病故 死于 牺牲", "死者:人物: 时间:时间: 地点:地点:"),
        ("毕业", "毕业 考入 就读", "学生:人物:前 学校:机构: 时间:时间: 专业:专业:"),
        ("结婚", "结婚 成婚 嫁给 迎娶", "一方:人物:前 另一方:人物:后 时间:时间: 地点:地点:"),
        ("签约", "签署 签订 签约 缔结", "签署方:机构:前 文件:作品: 时间:时间: 地点:地点:"),
        ("会议召开", "召开 举行 开幕 举办", "主办方:机构:前 时间:时间: 地点:地点: 会议:专名:"),
        ("上映", "上映 首播 播出 开播", "作品:作品: 时间:时间: 地点:地点: 平台:机构:"),
        (
            "建成启用",
            "建成 竣工 通车 启用 落成 投入使用 完工",
            "设施:专名 时间:时间: 地点:地点: 建设方:机构:",
        ),
        ("产品发布", "发布 推出 发售 上市", "发布方:机构:前 产品:专名:后 时间:时间: 价格:金额:"),
        (
            "比赛获胜",
            "击败 战胜 打败 大胜 险胜 淘汰",
            "胜者:机构:前 败者:机构:后 时间:时间: 赛事:专名:",
        ),
        ("战争", "攻占 占领 攻克 进攻 包围 攻打", "进攻方:人物:前 地点:地点:后 时间:时间:"),
        ("自然灾害", "地震 洪水 台风 爆发 火灾 海啸", "时间:时间: 地点:地点: 伤亡:数量:后"),
        ("航天发射", "发射 升空", "航天器:专名: 时间:时间: 地点:地点: 火箭:专名:"),
        (
            "任命",
            "任命 委任 册封 封为 提拔",
            "任命者:人物:前 被任命者:人物:后 职位:职位:后 时间:时间:",
        ),
        ("离开", "离开 前往 抵达 到达 返回 逃往 来到", "人物:人物:前 地点:地点:后 时间:时间:"),
        ("说话", "表示 指出 宣布 认为 说道 回答", "说话者:人物:前 内容:引语:后 时间:时间:"),
        ("加入", "加入 加盟 转会 效力", "人物:人物:前 机构:机构:后 时间:时间:"),
        (
            "投资",
            "投资 融资 增持 减持 入股",
            "投资方:机构:前 被投资方:机构:后 金额:金额: 时间:时间:",
        ),
        ("处罚", "判处 逮捕 起诉 罚款 处罚 拘留", "当事人:人物: 机构:机构: 时间:时间: 金额:金额:"),
    )
}
REACH = 30  # characters between a trigger and what takes part


def events(sentence: str, spans: Sequence[Span]) -> Iterator[Event]:
    """Yield the events of a sentence: a trigger with at least one span that can take part.

    >>> text = "1997年，鲍勃加入北京队。"
    >>> spans = [Span(0, 5, "时间"), Span(6, 8, "人物"), Span(10, 13, "机构")]
    >>> [(e.kind, [role for role, _ in e.arguments]) for e in events(text, spans)]
    [('加入', ['人物', '机构', '时间'])]
    """
    for kind, (triggers, roles) in EVENTS.items():
        at = re.search(any_of(triggers), sentence)
        if at is None or any(s.start < at.end() and at.start() < s.end for s in spans):
            continue
        trigger, arguments, used = Span(*at.span(), "触发词"), [], set()
        for role, *rest in roles:
            types, side = rest[0], rest[1] if len(rest) > 1 else ""
            near = [s for s in spans if s.kind == types and s not in used]
            near = [s for s in near if stands(s, trigger, side)]
            if near:
                best = min(near, key=lambda s: abs(s.start - trigger.start))
                arguments.append((role, best))
                used.add(best)
        if arguments:
            yield Event(kind, trigger, tuple(arguments))


def stands(span: Span, trigger: Span, side: str) -> bool:
    """Return whether a span is within reach of a trigger, on the side that its role asks for."""
    before = span.end <= trigger.start and trigger.start - span.end <= REACH
    after = span.start >= trigger.end and span.start - trigger.end <= REACH
    return {"前": before, "后": after, "": before or after}[side]
