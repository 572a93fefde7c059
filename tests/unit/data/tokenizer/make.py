"""Makes the files beside it: small tokenizers, texts, and the ids and texts that the library `tokenizers` gives for them.

usage: make.py        (needs tokenizers 0.23 and gguf 0.19; the result is committed, tests only read it; training breaks
                       some ties either way, so that vocabularies differ from run to run)

NAME.json    a tokenizer.json, trained here
NAME.gguf    the same as GGUF, where that can say it
NAME.expect  {"ids": for each text of corpus.json, "gguf": by index, where the GGUF form differs,
              "plain": with special tokens read as text and none added,
              "decode": [ids, text, text without special tokens], "bytes": [hex of text that is not UTF-8, ids]}
corpus.json  the texts
steps.json   {"tokenizer": one whose merges cross everything, "texts", "cases": [its parts that are replaced, ids]}
"""

import json, random
from gguf import GGUFWriter
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

rng = random.Random(20261123)

PROSE = (
    """The quick brown fox jumps over the lazy dog; it's what they've said, isn't it? We'll see what you'd do, I'm sure.
All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience.
Tous les êtres humains naissent libres et égaux en dignité et en droits. Où est le café? Ça va bien.
Alle Menschen sind frei und gleich an Würde und Rechten geboren. Straße, Größe, Übermut, schön und heiß.
Все люди рождаются свободными и равными в своем достоинстве и правах. Привет, мир!
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。你好，世界！
すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. שלום עולם
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
int main(void)\n{\n\tfor (int i = 0; i < 10; i++) {\n\t\tprintf("%d\\n", i);\n\t}\n\treturn 0;\n}
def f(x):\n    if x == 0:\n        return 1\n    return x * f(x - 1)  # 120 for 5, 3628800 for 10\n\n\n
In 1969, 2001 and 2026 there were 12,345.67 reasons, 100% of them 👍 😀 👨\u200d👩\u200d👧 🇩🇪.
""" * 3)

FIXED = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t", "\r\n", "a", " a", "  a", "a ", "a  ", "a  b", "a   b",
    "a\n\nb", "a \n b", "a\r\n\r\nb", "Hello world", "Hello  world", " Hello", "Hello, world!", "it's", "IT'S",
    "It'S we'LL they'Ve I'M he'd you'RE", "'ſ 'ſt it'ſ", "''s", "don''t", "' s", "1", "12", "123", "1234", "1234567890",
    "1 2 3", "a1b2", "3.14", "٣٤٥", "९८", "Ⅷ ② ½ ²³¹", "９９", "x²", "1st", "v1.0.0-rc2", "naïve café",
    "nai\u0308ve cafe\u0301", "A\u030a \u212b \u00c5", "e\u0301\u0323 e\u0323\u0301", "ﬁ ﬂ ﬆ", "ｶﾞ カ\u3099 ガ", "각 각",
    "Ǆ ǅ ǆ", "İstanbul ISTANBUL ı", "ẞ ß SS", "ΑΣ Σας", "你好，世界！", "日本語のテキスト", "안녕하세요 세계", "Привет, мир",
    "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "ภาษาไทย", "Γειά σου Κόσμε", "Բարեւ", "გამარჯობა",
    "ሰላም", "বাংলা", "தமிழ்", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𐍈𐌰", "𠜎𠜱", "\U00031350\U0002ebf0", "👍", "👍🏽", "👨\u200d👩\u200d👧\u200d👦",
    "🏳\ufe0f\u200d🌈", "🇩🇪🇫🇷", "a👍b", " 👍 ", "❤\ufe0f", "1\ufe0f\u20e3", "☃", "\u200b", "a\u200bb", "a\u00adb",
    "\ufeffa", "a\u00a0b", "\u00a0\u00a0", "a\u3000b", "\u2003x", "\u180e a\u180eb", "a\u2028b\u2029c", "\x85",
    "\x0b\x0c", "\x1c\x1d\x1e\x1f", "\x01\x02\x7f", "\x1b[31m", "\ue000", "\ufffd", "\ufffe\uffff", "\U0010ffff",
    "def f(x):\n    return x\n", "for (;;) {\n\t\treturn;\n}\n\n\n", "a\t\tb", "    x", "\t\t\tx",
    "x = y->z != NULL && *p++;", "https://example.org/a?b=c&d=%20#e", '<div class="x">', "--- *** ___ ~~~ ```",
    "((((((((", "........", "!?!?", "a_b __init__ _x", "$100 €50 £3", "50%", "C++ C#", "▁", "▁▁", "a▁b", "▁a", "Ġ Ċ ĠĠ",
    "<0x41>", "<0x0A>", "<|end|>", "a<|end|>b", " <|end|> ", "<|end|><|end|>", "<|end|", "<|begin|>x<|end|>",
    "<|<|end|>|>", "<strip>", "a <strip> b", "a  <strip>\n b", "word", "a word b", "swordfish", "word,word word_",
    "éwordé", "x foo bar y", "foobar", "foo  bar", "FOO BAR foo bar", "<|end|> <strip> <strip>word", "x" * 100,
    "ab" * 120, "a b " * 60, " " * 100, "\n" * 50, "é" * 70, "👍" * 30, "1" * 100, "." * 100, "\u0301" * 20,
    "aaaa" * 8 + " " * 33 + "b",
]

WORDS = PROSE.split(" ") + FIXED
SPANS = [(1, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x6FF), (0x900, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x218F),
         (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFE00, 0xFFEF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF),
         ]

def noise():
    if rng.random() < 0.5:
        return "".join(
            rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n", "\t", "'s", ".", "\u00a0"])
            for _ in range(rng.randint(1, 5)))
    return "".join(
        chr(rng.randint(*rng.choice(SPANS))) + rng.choice(["", "", "", " ", "\n", "1"])
        for _ in range(rng.randint(1, 12)))

TEXTS = FIXED + [noise() for _ in range(70)]

GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
ALPHABET = pre_tokenizers.ByteLevel.alphabet()

def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)

def byte_level(pre, size=700, normalizer=None, **options):
    tk = Tokenizer(models.BPE())
    if pre:
        tk.pre_tokenizer = pre
    if normalizer:
        tk.normalizer = normalizer
    tk.decoder = decoders.ByteLevel()
    tk.train_from_iterator([PROSE], trainers.BpeTrainer(vocab_size=size, initial_alphabet=ALPHABET,
                                                        show_progress=False))
    return rebuild(tk, **options)

def rebuild(tk, **options):  # with changed members of "model"
    j = json.loads(tk.to_str())
    j["model"].update(options)
    if options.get("ignore_merges"):  # and some tokens that merges do not reach
        del j["model"]["merges"][100::5]
    return Tokenizer.from_str(json.dumps(j))

def add(tk):
    tk.add_special_tokens([
        AddedToken("<|begin|>", special=True, normalized=False),
        AddedToken("<|end|>", special=True, normalized=False)
    ])
    tk.add_tokens([
        AddedToken("<strip>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False),
        AddedToken("foo bar", normalized=True),
    ])
    return tk

def bos(tk):
    tk.post_processor = processors.TemplateProcessing(single="<|begin|> $A",
                                                      pair="<|begin|> $A $B",
                                                      special_tokens=[("<|begin|>", tk.token_to_id("<|begin|>"))])
    return tk

def sentencepiece(pre=None, normalizer=None, decoder=None, fallback=True, **options):
    tk = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, fuse_unk=True))
    tk.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] * fallback
    tk.train_from_iterator([PROSE.replace("👍", "")],
                           trainers.BpeTrainer(vocab_size=900,
                                               special_tokens=first,
                                               limit_alphabet=120,
                                               show_progress=False),
                           )
    j = json.loads(tk.to_str())
    j["added_tokens"] = [t for t in j["added_tokens"] if not t["content"].startswith("<0x")]
    j["pre_tokenizer"] = None
    tk = Tokenizer.from_str(json.dumps(j))
    if pre:
        tk.pre_tokenizer = pre
    if normalizer:
        tk.normalizer = normalizer
    tk.decoder = decoder
    return add(rebuild(tk, **options))

LLAMA2_NORMALIZER = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
LLAMA2_DECODER = decoders.Sequence(
    [decoders.Replace("▁", " "),
     decoders.ByteFallback(),
     decoders.Fuse(), decoders.Strip(" ", 1, 0)])

def tokenizers():
    smollm = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
    yield "gpt2", add(byte_level(GPT2))
    yield "smollm", add(byte_level(smollm))
    yield "llama3", bos(add(byte_level(pre_tokenizers.Sequence([split(LLAMA3), BYTES]), ignore_merges=True)))
    yield "qwen2", add(byte_level(pre_tokenizers.Sequence([split(QWEN2), BYTES]), normalizer=normalizers.NFC()))
    yield "llama2", bos(sentencepiece(normalizer=LLAMA2_NORMALIZER, decoder=LLAMA2_DECODER))
    yield "metaspace", sentencepiece(pre=pre_tokenizers.Metaspace(prepend_scheme="first", split=True),
                                     decoder=decoders.Metaspace(prepend_scheme="first"),
                                     fallback=False,
                                     fuse_unk=False,
                                     )

def steps():
    P, N, S = pre_tokenizers, normalizers, pre_tokenizers.Sequence
    for behavior in ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            yield dict(pre_tokenizer=S([split(r"[ ,.]", behavior, invert), BYTES]))
            yield dict(pre_tokenizer=S([split(r"\p{L}+", behavior, invert), BYTES]))
        yield dict(pre_tokenizer=S([P.Split("a", behavior), BYTES]))
    for pattern in [
            r"\s", r"\S", r"\w+", r"\W+", r"\d{2,}", r"\D+", r"[\s\d]", r"[^\S\n]+", r"[\w-]+", r"[-\s]+", r"[a-f\-x]", r"[-\d]", r"[^-\d]",
            r"^.", r".$", r"a.b", r"(?i)the|FOX", r"(?<=e)r?", r"(?<! )o", r"\p{Lu}\p{Ll}*", r"\P{L}+",
            r"[^\p{L}\P{N}]", r"\p{^L}", r"\p{Han}+|\p{Hiragana}+", r"[\u4e00-\u9fff]+", r"\x41|\x{e9}", r"[一-龥]",
            r"l++", r"o?+r", r" *+\S", r"x{3}", r"x{2,}?", r"a{", r"\{|\}", r"(a|b)+", r"(?>the)", r"\A\S+", r"\S\z",
            r"\v|\t|\f|\e|\a", r"\.\,\ \#", r"\p{M}|\p{P}|\p{S}|\p{Z}|\p{Cc}", r"[^a-z]{1,4}", r"x*",
    ]:
        yield dict(pre_tokenizer=S([split(pattern), BYTES]))
    for pattern in [r"\s", r"[\s]", r"\S", r"[\S]", r"\w", r"\W", r"[\w]", r"\d"]:
        yield dict(pre_tokenizer=S([split(pattern, "removed"), BYTES]))
    yield dict(pre_tokenizer=S([P.Whitespace(), BYTES]))
    yield dict(pre_tokenizer=S([P.WhitespaceSplit(), BYTES]))
    yield dict(pre_tokenizer=S([P.Digits(individual_digits=False), BYTES]))
    yield dict(pre_tokenizer=S([P.Digits(individual_digits=True), S([split(" "), BYTES])]))
    yield dict(pre_tokenizer=P.ByteLevel(add_prefix_space=True))
    yield dict(pre_tokenizer=S([split(" ", "removed"), P.ByteLevel(add_prefix_space=True, use_regex=False)]))
    for scheme in ["always", "first", "never"]:
        for cut in [False, True]:
            yield dict(pre_tokenizer=S([P.Metaspace(prepend_scheme=scheme, split=cut), BYTES]))
    yield dict(pre_tokenizer=S([split(r"\n"), P.Metaspace(prepend_scheme="first"), BYTES]))
    for n in [
            N.NFC(),
            N.NFD(),
            N.NFKC(),
            N.NFKD(),
            N.Lowercase(),
            N.Prepend("x "),
            N.Strip(),
            N.Strip(True, False),
            N.Strip(False, True),
            N.Replace(" ", ""),
            N.Replace("a", "aa"),
            N.Replace(Regex(r"\s+"), " "),
            N.Replace(Regex(r"(?=o)"), "-"),
            N.Sequence([N.NFD(), N.Lowercase(), N.Replace(Regex(r"\p{M}"), ""),
                        N.Strip()]),
    ]:
        yield dict(normalizer=n, pre_tokenizer=BYTES)

def encode(tk, text, special=True):
    tk.encode_special_tokens = not special
    ids = tk.encode(text, add_special_tokens=special).ids
    tk.encode_special_tokens = False
    return ids

BYTE_CHARS = {
    b: c
    for b, c in zip([*range(33, 127), *range(161, 173), *range(174, 256)],
                    map(chr, [*range(33, 127), *range(161, 173), *range(174, 256)]),
                    )
}
for b in range(256):
    BYTE_CHARS.setdefault(
        b,
        chr(256 + sum(
            1 for k in range(b) if k not in range(33, 127) and k not in range(161, 173) and k not in range(174, 256))),
    )

def encode_bytes(tk, raw):  # valid parts as the library encodes them, the bytes between as one word
    ids, i = [], 0
    while i < len(raw):
        j = i
        try:
            raw[i:].decode()
            j = len(raw)
        except UnicodeDecodeError as e:
            j = i + e.start
        ids += tk.encode(raw[i:j].decode(), add_special_tokens=False).ids
        i = j
        while j < len(raw):
            try:
                raw[j:j + 4].decode()
                break
            except UnicodeDecodeError as e:
                if e.start > 0:
                    break
            j += 1
        ids += [t.id for t in tk.model.tokenize("".join(BYTE_CHARS[b] for b in raw[i:j]))]
        i = j
    return ids

BROKEN = [
    b"\xff", b"a\xffb", b"\xc3", b"\xe2\x82", b"\xe2\x82 \xac", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80",
    b"\xf0\x9f\x91", b"the \x80\x80 dog", b"caf\xc3\xa9 \xc3 x", b"\xe4\xbd\xa0\xe5\xa5", b" \xfe\xff the",
    b"\xf0\x9f\x91\x8d\xf0\x9f\x91",
]

def dump(name, value):
    with open(name, "w") as f:
        f.write(
            json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace('],"',
                                                                                 '],\n"').replace("],[", "],\n["))

def without_flags(tk):  # GGUF has no lstrip, rstrip, single_word
    j = json.loads(tk.to_str())
    for t in j["added_tokens"]:
        t.update(lstrip=False, rstrip=False, single_word=False, normalized=False)
    return Tokenizer.from_str(json.dumps(j))

def gguf(name, tk, pre, template):
    j = json.loads(tk.to_str())
    added = {t["id"]: t for t in j["added_tokens"]}
    tokens = [tk.id_to_token(i) for i in range(tk.get_vocab_size())]
    w = GGUFWriter(name, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types([1 if i not in added else 3 if added[i]["special"] else 4 for i in range(len(tokens))])
    w.add_token_merges([" ".join(m) for m in j["model"]["merges"]])
    w.add_bos_token_id(tk.token_to_id("<|begin|>"))
    if pre != "smollm":
        w.add_eos_token_id(tk.token_to_id("<|end|>"))
    w.add_chat_template(template)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()

def main():
    dump("corpus.json", TEXTS)
    for name, tk in tokenizers():
        with open(name + ".json", "w") as f:
            f.write(tk.to_str())
        n = tk.get_vocab_size()
        ids = [encode(tk, t) for t in TEXTS]
        some = (ids[::7] + [[rng.randrange(n) for _ in range(rng.randint(1, 9))]
                            for _ in range(40)] + [[], [n + 5], [tk.token_to_id("<|end|>")] * 2,
                                                 [ids[0][0] if ids[0] else 5, tk.token_to_id("foo bar")]])
        if name == "llama2":
            byte = lambda b: tk.token_to_id(f"<0x{b:02X}>")
            some += [[byte(b) for b in raw] for raw in BROKEN + ["€".encode(), "👍x".encode(), b"\xe2\x82\xac\xff"]]
        some += [[tk.token_to_id(c) for c in "ðŁĳį" if tk.token_to_id(c)] * k for k in (1, 2)]
        plain = [encode(without_flags(tk), t) for t in TEXTS]
        dump(
            name + ".expect",
            dict(ids=ids,
                 gguf={str(i): p
                       for i, p in enumerate(plain) if p != ids[i]},
                 plain=[encode(tk, t, False) for t in TEXTS],
                 decode=[[x, tk.decode(x, skip_special_tokens=False),
                          tk.decode(x, skip_special_tokens=True)] for x in some],
                 bytes=[[b.hex(), encode_bytes(tk, b)] for b in BROKEN] if name in ("gpt2", "smollm", "llama3") else [],
                 ),
        )
        if name in ("smollm", "llama3", "qwen2"):
            gguf(name + ".gguf", tk,
                 dict(smollm="smollm", llama3="llama-bpe", qwen2="qwen2")[name], "{{ " + name + " }}")
    base = byte_level(BYTES, size=900)
    texts = ["\u180e a\u180eb", "\x85x\x85", "\u200d\u200cx \u00b2"] + [t for t in FIXED if len(t) < 90][::5] + TEXTS[-8:]
    cases = []
    for parts in steps():
        tk = Tokenizer.from_str(base.to_str())
        for k, v in parts.items():
            setattr(tk, k, v)
        j = json.loads(tk.to_str())
        cases.append(dict(parts={k: j[k] for k in parts}, ids=[tk.encode(t).ids for t in texts]))
    dump("steps.json", dict(tokenizer=json.loads(base.to_str()), texts=texts, cases=cases))

main()
