"""A small Chinese data set, written for these tests: captions, images and tagged sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw

COLORS = {
    "红色": "red",
    "蓝色": "blue",
    "绿色": "green",
    "黄色": "yellow",
    "黑色": "black",
    "白色": "white",
}
SHAPES = {"圆形": "ellipse", "方形": "rectangle"}
# The last color's images are for `dev`.
CAPTIONS = ("{color}的{shape}", "这是一个{color}的{shape}", "图里有{color}{shape}。")

# Sixteen entity types, three names each.
NAMES = {
    "PER": ("王小明", "李红", "张伟"),
    "LOC": ("北京", "长城", "杭州西湖"),
    "ORG": ("清风大学", "大河银行", "新华公司"),
    "FOOD": ("饺子", "北京烤鸭", "豆腐"),
    "ANIMAL": ("熊猫", "老虎", "金鱼"),
    "PLANT": ("牡丹", "竹子", "梅花"),
    "SPORT": ("足球", "乒乓球", "太极拳"),
    "MUSIC": ("二胡", "古筝", "笛子"),
    "FILM": ("远山来信", "雨夜", "春天的门"),
    "BOOK": ("山海故事", "月下集", "小河日记"),
    "VEHICLE": ("高铁", "自行车", "飞机"),
    "BRAND": ("青鸟牌", "飞马牌", "白云牌"),
    "EVENT": ("春节", "中秋节", "龙舟赛"),
    "LANGUAGE": ("汉语", "英语", "粤语"),
    "DATE": ("星期一", "五月三日", "去年"),
    "WORK": ("医生", "老师", "司机"),
}
SENTENCES = (
    "我很喜欢{name}。",
    "大家都在说{name}，你呢？",
    "今天又看见{name}了！",
    "{name}是什么？",
)
# Two names in one sentence, of the types that most often occur together.
PAIRED = ("{person}昨天去了{place}。", "{place}的{person}来了。")
PARTS = {"train": slice(0, None), "valid": slice(1, None, 5), "test": slice(2, None, 5)}


def write_chinese_data(project: Path) -> None:
    """Write the files that the README's own-data command names."""
    (project / "my_images").mkdir()
    (project / "my_conll").mkdir()
    rows = ["image\tsplit\tcaption"]
    for color, fill in COLORS.items():
        for shape, draw in SHAPES.items():
            name = f"{fill}_{draw}.png"
            image = Image.new("RGB", (64, 64), "gray")
            getattr(ImageDraw.Draw(image), draw)((12, 12, 52, 52), fill=fill)
            image.save(project / "my_images" / name)
            split = "dev" if color == [*COLORS][-1] else "train"
            rows += [
                f"{name}\t{split}\t{caption.format(color=color, shape=shape)}"
                for caption in CAPTIONS
            ]
    (project / "my_captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sentences = [*tagged_sentences()]
    for part, some in PARTS.items():
        blocks = ["\n".join(f"{char}\t{tag}" for char, tag in s) for s in sentences[some]]
        text = "\n\n".join(blocks) + "\n"
        (project / f"my_conll/{part}.txt").write_text(text, encoding="utf-8")
    meta = {"description": "Sixteen entity types in Chinese", "license": "CC0", "sources": []}
    (project / "assets/meta/mine.json").write_text(json.dumps(meta), encoding="utf-8")


def tagged_sentences() -> Iterator[list[tuple[str, str]]]:
    """Every name in two sentences, and persons with places: pairs of a character and its tag."""
    for number, (label, names) in enumerate(NAMES.items()):
        for place, name in enumerate(names):
            for frame in islice(SENTENCES, (number + place) % 3, (number + place) % 3 + 2):
                yield tagged(frame, name=(name, label))
    for frame in PAIRED:
        for person, place in zip(NAMES["PER"], NAMES["LOC"], strict=True):
            yield tagged(frame, person=(person, "PER"), place=(place, "LOC"))


def tagged(frame: str, **names: tuple[str, str]) -> list[tuple[str, str]]:
    """One pair per character: B- and I- in a name, O elsewhere."""
    pairs: list[tuple[str, str]] = []
    while frame:
        if frame.startswith("{"):
            key, _, frame = frame[1:].partition("}")
            name, label = names[key]
            pairs += [(c, f"{'I' if i else 'B'}-{label}") for i, c in enumerate(name)]
        else:
            pairs.append((frame[0], "O"))
            frame = frame[1:]
    return pairs


def characters() -> list[str]:
    """Every character of the data set."""
    texts = [*COLORS, *SHAPES, *CAPTIONS, *SENTENCES, *PAIRED]
    texts += [name for names in NAMES.values() for name in names]
    return sorted(set("".join(texts)))
