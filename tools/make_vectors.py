"""Write tests/vectors/: texts with the features and bits that every implementation must compute.

    python tools/make_vectors.py

Needs the packages of `neuralbits[train]`, for sentences in the languages of Home Assistant. The
format is described in docs/projection.md. If the vectors differ from the committed ones,
the projection has changed, and with it the meaning of every artifact.
"""

import json
import unicodedata
from pathlib import Path
from random import Random

import mmh3
import numpy as np
from home_assistant_intents import get_languages

from neuralbits.model_training.data import home_assistant
from neuralbits.ngrams import FAMILIES
from neuralbits.projection import Projection

FOLDER = Path(__file__).parents[1] / "tests" / "vectors"
PROJECTIONS = {
    "default": Projection(),
    "paper": Projection(72, 10, code_bits=1, stride=1, families=tuple(FAMILIES)),
    "uneven": Projection(24, 33, stride=8, families=tuple(FAMILIES)),
}

PLAIN = [
    "", " ", "\t\n\r ", "\u00a0\u3000", "a", "A", "é", "7", "٣", "?", "🙂", "中", "가", "ß", "'",
    "turn off the lamp", "turn of teh lamp", "TURN OFF THE LAMP!", "Turn  off,\tthe lamp.",
    "what's the weather", "whats the weather", "what\u2019s the weather", "don't don\u02bct dont",
    "set the thermostat to 20.5°C", "set brightness to 100%", "50 % & more @ home #1", "401k", "4K TV",
    "1234567890", "12:34:56", "2026-11-22", "3½ cups", "№ 5", "x² + y³", "1e-3", "٪٥٠", "५० प्रतिशत",
    "!!!", "...", "…", "¿qué?", "«quotes»", "--- ___ ---", "()[]{}<>", "$ € £ ¥ ₹", "+-*/=<>|~^`",
    "user@example.com", "https://example.com/a?b=c", "snake_case CamelCase kebab-case", "C++ and C#",
    "café", "cafe\u0301", "naïve façade", "Ångström", "Straße", "STRASSE", "ﬁne ﬂow oﬃce", "ŒUVRE œuvre",
    "İstanbul ISPARTA ıspanak", "ΣΊΣΥΦΟΣ σίσυφος", "Ǆ ǅ ǆ", "ſet", "ＦＵＬＬ ｗｉｄｔｈ　１２", "𝐛𝐨𝐥𝐝 𝓼𝓬𝓻𝓲𝓹𝓽 𝟙𝟚",
    "①②③ ⅣⅫ ½⅓", "㎏ ㏂ ㍿", "ﷺ", "ﺳﻼﻡ", "שָׁלוֹם", "שלום", "مُحَمَّد", "محمد", "أحمد احمد", "كتاب ڪتاب",
    "हिन्दी", "क्‍ष क्ष", "ড়াগ ড\u09bcাগ", "தமிழ்", "ไทย น้ำ", "ลำโพง", "ລາວ", "မြန်မာ", "ខ្មែរ", "བོད་ཡིག", "አማርኛ", "ქართული", "ᲥᲐᲠᲗᲣᲚᲘ",
    "ᎣᏏᏲ ꭳꮟꮿ", "Հայերեն և", "ёлка елка Ёлка", "йод и\u0306од", "їжак", "日本語 にほんご ニホンゴ ﾆﾎﾝｺﾞ",
    "がぎぐ か\u3099き\u3099", "照明をつけて", "打开厨房的灯", "打開廚房的燈", "한국어 \u1112\u1161\u11ab국어", "불 꺼줘",
    "🙂🙃", "👩‍👩‍👧‍👦 family", "👍🏽 ok", "🇩🇪🇫🇷", "❤️ ❤", "☎️ call mum", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301\u0327 e\u0327\u0301",
    "a" + "\u0301" * 50, "z\u0335a\u0336l\u0337g\u0338o", "soft\u00adhyphen", "zero\u200bwidth\u200djoin\ufeff", "\u202eright to left\u202c",
    "\x00null\x00byte", "\x1b[31mred\x1b[0m", "tab\tnew\nline\r\nend", "\u2028line\u2029paragraph", "\u0085next",
    "\ud800", "lone \udc00 surrogate", "\ud83d turned \ude42", "\uffff \ufffe \ufffd", "\U0010ffff \ue000 \U000f0000", "\u0378 unassigned",
    "ᄀ ᅡ ᆨ", "\u115f\u1160", "\u3164", "a\u034fb", "\ufe0f", "\u180e", "ǲ", "ŉ", "ẞ ß SS", "Ω Ω", "K K", "Å Å", "µ μ",
    "play “Let It Be” by The Beatles", "add 2 l of milk, bread & eggs to my list", "wake me up at 7:30 a.m.",
    "is the door locked?", "is the door unlocked?", "lights on", "on lights", "play play play", "no no no no no",
    "światło swiatlo ŁÓDŹ", "IŞIK ışık isik İSTASYON", "đèn den ĐÈN", "køkken kokken KØKKEN", "ljósið þoka ÞOKA eða",
    "ħobż ŧ Ŧ ŋ Ŋ ĸ", "Ærø œuvre Œ ǽ ǿ", "ɓ ɖ ɗ ƙ ƴ ɛ ɔ ə Ə", "ʙᴏʟᴅ ᴀɪ ʣ ꜳ ꝏ ȸ", "қазақ ұлт ғ җ ґ ө ү",
    "خانۀ خانه کتاب كتاب یک يك", "ٱلله الله مدرسة مدرسه على علي", "ڪتاب ہے ھے ـــسـلام سلام", "۴۵ ٤٥ ४५ ४५ 45 ４５",
    "what´s what`s what\u2032s what\u02b9s what\u201bs", "צ\u05f3יפס צ'יפס", "d\u055ad \u03c3\u1fbd \u03c3\u0384 a\ua78cb", "5\u203230\u2033",
    "supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaftskapitän",
]  # fmt: skip


def texts() -> list[str]:
    """Return the texts: the plain ones, one or two in each language, long ones, random ones."""
    random = Random(0)
    result = list(PLAIN)
    for language in sorted(get_languages()):
        sentences = home_assistant.load(language).train
        result += [random.choice(sentences)[0] for _ in range(2)]
    result += [text.swapcase() for text in PLAIN[15:45]]
    result += [unicodedata.normalize("NFD", text) for text in PLAIN[48:75]]
    words = " ".join(PLAIN[15:40]) + " "
    result += [(words * 20)[:10_000], "a" * 10_000, "ab " * 3_333, "é" * 1_000, "? " * 500]
    planes = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x5FF), (0x600, 0xFFF), (0x1000, 0xD7FF),
              (0xD800, 0xFFFF), (0x1F000, 0x1FAFF), (0x10000, 0x10FFFF)]  # fmt: skip
    for _ in range(40):
        lengths = random.randint(1, 60)
        result.append("".join(chr(random.randint(*random.choice(planes))) for _ in range(lengths)))
    return list(dict.fromkeys(result))


def main() -> None:
    """Write the projections and the vectors."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings = {
        name: {
            "functions": projection.functions,
            "dimensions": projection.dimensions,
            "code_bits": projection.code_bits,
            "stride": projection.stride,
            "families": projection.families,
        }
        for name, projection in PROJECTIONS.items()
    }
    (FOLDER / "projections.json").write_text(json.dumps(settings, indent=2) + "\n")
    everything = Projection(families=tuple(FAMILIES))
    with (FOLDER / "vectors.jsonl").open("w") as file:
        for text in texts():
            features = everything.features(text)
            vector = {
                "text": text,
                "count": len(features),
                "hash": mmh3.hash(features.astype("<u4").tobytes(), 0, signed=False),
                "features": features[:8].tolist(),
                "bits": {
                    name: np.packbits(p.project(p.features(text)), bitorder="little")
                    .tobytes()
                    .hex()
                    for name, p in PROJECTIONS.items()
                },
            }
            file.write(json.dumps(vector) + "\n")


if __name__ == "__main__":
    main()
