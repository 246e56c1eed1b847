"""Trains the small models in unigram/ and records what SentencePiece makes of a corpus of hostile and international text.

bytes and plain are unigram models without a character map; nmt is one with that of nmt_nfkc, rules a byte-pair model with a map of its own.

    /usr/bin/python3 make_unigram.py          (Debian's python3-sentencepiece; takes seconds; the same ids every time)

The training text is made of seeded words of an invented language, so that nothing has to be fetched.
"""

import hashlib
import io
import json
import os
import random
import tempfile

import sentencepiece

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unigram")

SYLLABLES = [a + b for a in ("", "b", "d", "f", "k", "l", "m", "n", "p", "r", "s", "sch", "st", "t", "v") for b in ("a", "e", "i", "o", "u", "ei", "an", "or")]

HOSTILE = [
    "", " ", "  ", "   a", "a   ", "a  b   c", "\n", "\t\n\r", "a\nb", "a\u00a0b", "\u3000\u2003a", "\u2581", "a\u2581b", "\u2581\u2581 \u2581",
    "<s>", "</s>", "<unk>", "<pad>", "a<s>b</s>c", "<0x41>", "<0x0A>", "<mark>", "a<mark>b", "<mark><mark>", "< mark>", "<mar", "<mark", "x<mark> y",
    "<mark>er", "[INST] a [/INST]", "<|im_start|>", "\u0000", "a\u0000b", "\u0001\u001f\u007f", "\u200b\u200d\ufeff", "\u202eabc", "\ufffd",
    "\u00e9", "e\u0301", "\u00df\u1e9e\u0130\u0131", "\ufb01\uff21", "\u65e5\u672c\u8a9e", "\u4e2d\u6587\u5206\u8bcd", "\ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea", "\U00010000\U0010ffff", "a\U0001f600b \U0001f600", "\u0301\u0301\u0301", "Z\u0351\u036b\u0343a\u0348\u035al\u0363\u0349g\u034fo",
    "1234567890", "3.14159", "1,000,000", "0x7f", "'s 't 're", "don't", "a.b,c;d:e!f?g", "((((", "----------", "==========",
    "https://example.org/a?b=c&d=%20", "SELECT * FROM t; -- '", "{\"a\": [1, 2, {\"b\": null}]}", "\\u0041\\n", "$(rm -rf /)", "%s%n%x",
    "a" * 1000, " " * 300, "ab" * 500, "\u65e5" * 300, "\U0001f600" * 200, "\u0301" * 300, "<mark>" * 100, "a " * 400, "\u2581" * 300, "\n" * 300,
]


def sentences(count):
    generator = random.Random(17)
    words = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 4))) for _ in range(700)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    for _ in range(count):
        text = " ".join(generator.choices(words, weights, k=generator.randint(3, 14)))
        yield text + generator.choice([".", "!", "?", ", " + generator.choice(words) + ".", " " + str(generator.randint(0, 9999)) + "."])


def random_texts(count):
    generator = random.Random(23)
    trained = list(sentences(60))
    alphabets = ["abdeiklnorst ", " \u2581a", "ab<mark>", "\u65e5\u672ca ", "".join(map(chr, range(32, 127))), "\U0001f600e\u0301 \u00df"]
    for _ in range(count):
        if generator.random() < 0.4:
            text = list(generator.choice(trained))
            for _ in range(generator.randint(0, 6)):
                text[generator.randrange(len(text))] = generator.choice("".join(alphabets))
            yield "".join(text)
        else:
            alphabet = generator.choice(alphabets)
            yield "".join(generator.choices(alphabet, k=generator.randint(1, 60)))


# What the map of "rules" does: longer sequences before shorter, to nothing, to spaces, to several characters.
RULES = [("ab", "x"), ("abc", "yy"), ("abcdefgh", "z"), ("\u00e9", "e"), ("e\u0301", "e"), ("\u200b", ""), ("\u00a0", " "), ("\t", " "), ("\n", "  "), ("\u65e5\u672c", "japan"), ("\U0001f600", ":)"), ("<", "\u2581")]


def composed_texts(count):
    """Texts of what a character map is about: compositions, widths, ligatures, controls, spaces of all kinds."""
    generator = random.Random(31)
    alphabet = ("abcde\u0301\u0308\u0327 \u00a0\u3000\u2003\u200b\u200d\ufeff\t\n\r\u0000\u0007\u00ad\ufb01\ufb03\uff21\uff76\uff9e\u1100\u1161\u11a8\u2126\u212b\ufdfa\u33a5\u2474"
                "\u00bd\u2155\u0132\u01c4\u1e9b\u0323\u1112\u1175\u0f73\u0958\u2581\u00e9\u65e5\u672c\U0001f600\U0001d400<mark>\u0344\u0390")
    for _ in range(count):
        yield "".join(generator.choices(alphabet, k=generator.randint(1, 30)))


def blocks(processor):
    """Hashes of the ids of every character in turn, between letters and alone, in blocks of 4096: what the map makes of each."""
    hashes = []
    for start in range(0, 0x110000, 4096):
        sha = hashlib.sha256()
        for code in range(start, start + 4096):
            if not 0xD800 <= code < 0xE000:
                for text in ("a" + chr(code) + "b", chr(code) + "\u0301"):
                    sha.update((",".join(map(str, processor.encode(text))) + ";").encode())
        hashes.append(sha.hexdigest()[:16])
    return hashes


def make(name, model_type="unigram", composed=False, **options):
    options.setdefault("normalization_rule_name", "identity")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(4000), model_writer=model, model_type=model_type, vocab_size=700, num_threads=1,
        user_defined_symbols=["<mark>", "<mark>er"], minloglevel=2, **options)
    with open(os.path.join(HERE, name + ".model"), "wb") as file:
        file.write(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    texts = HOSTILE + list(random_texts(400)) + (list(composed_texts(400)) if composed else [])
    cases = [{"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))} for text in texts]
    with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(cases, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")
    if composed:
        with open(os.path.join(HERE, name + "-blocks.json"), "w", encoding="utf-8") as file:
            json.dump(blocks(processor), file, separators=(",", ":"))
            file.write("\n")


os.makedirs(HERE, exist_ok=True)
make("bytes", byte_fallback=True, remove_extra_whitespaces=False)
make("plain", byte_fallback=False, remove_extra_whitespaces=True)
make("nmt", composed=True, byte_fallback=True, remove_extra_whitespaces=True, normalization_rule_name="nmt_nfkc")
with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
    for source, target in RULES:
        rules.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
    rules.flush()
    make("rules", model_type="bpe", composed=True, byte_fallback=True, remove_extra_whitespaces=False, normalization_rule_tsv=rules.name)
