"""What transformers generates with models that read the prompt with an encoder: goldens/text2text.json.

    $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_text2text_goldens.py

cases     token by token, as make_goldens.py has them of decoders, by the models of tests/parity
texts     a tiny T5 with a Unigram tokenizer (goldens/models/t5-texts) and what it answers to texts: tokenizing, generate() and
          decoding without special tokens, which is all that the text2text-generation pipeline of transformers 4 does
"""
import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from make_goldens import HERE, MODELS, SAMPLED, OurDraws

sys.path.insert(0, str(HERE.parent / "parity"))
import make_encoder_decoders

TEXT = (HERE.parent / "text" / "goldens" / "genesis.txt").read_text()
PROMPTS = {"t5": [[7, 34, 65, 37, 22, 39, 40, 66], [55, 22, 5]],
           "t5_gated": [[6, 59, 21, 5, 9, 57, 37, 16, 51, 19, 44], [23, 23, 15, 37, 24]]}


def case(model, subject, more=None, prompt=0, **config):
    return {"model": model, "subject": subject, "prompt": PROMPTS[model][prompt],
            "config": {"max_new_tokens": 12, "eos_token_id": 2, **config, **(more or {})}}


def cases(greedy):
    plain, gated = greedy("t5"), greedy("t5_gated")
    ends = sorted(set(gated))[1:5]
    yield case("t5", None)
    yield case("t5", None, prompt=1)
    yield case("t5_gated", None)
    yield case("t5_gated", None, prompt=1)
    yield case("t5", "eos_token_id", eos_token_id=plain[3])
    yield case("t5", "max_length", max_new_tokens=None, max_length=7)
    yield case("t5_gated", "min_length", eos_token_id=gated[2], min_length=9)
    yield case("t5", "repetition_penalty", repetition_penalty=1.7)
    yield case("t5_gated", "encoder_repetition_penalty", encoder_repetition_penalty=3.5)
    yield case("t5_gated", "no_repeat_ngram_size", no_repeat_ngram_size=1, max_new_tokens=24)
    yield case("t5_gated", "encoder_no_repeat_ngram_size", encoder_no_repeat_ngram_size=1, max_new_tokens=24)
    yield case("t5", "forced_bos_token_id", forced_bos_token_id=45)
    yield case("t5", "decoder_start_token_id", decoder_start_token_id=5)
    for model in ("t5", "t5_gated"):
        yield case(model, "seed", SAMPLED)
    yield case("t5_gated", "num_return_sequences", {**SAMPLED, "num_return_sequences": 3, "top_p": 0.9}, prompt=1)
    for model in ("t5", "t5_gated"):
        yield case(model, "num_beams", num_beams=4)
    yield case("t5_gated", "num_return_sequences", num_beams=5, num_return_sequences=4, prompt=1)
    for early in (True, False, "never"):
        yield case("t5_gated", None, num_beams=3, num_return_sequences=3, early_stopping=early, eos_token_id=ends, max_new_tokens=20)
    yield case("t5_gated", "length_penalty", num_beams=3, eos_token_id=ends, num_return_sequences=3, length_penalty=-2.5)
    yield case("t5", "num_beams", {**SAMPLED, "num_beams": 3, "num_return_sequences": 2}, eos_token_id=[7, 8])


class Oracle:
    def __init__(self):
        self.models = {name: make_encoder_decoders.load(MODELS / f"{name}-sharp") for name in PROMPTS}

    def tokens(self, model, prompt, config):
        """New tokens of each sequence, and what generate() returned."""
        config = dict(config)
        original = torch.multinomial
        torch.multinomial = OurDraws(config.pop("seed", 0), config.get("num_beams", 1))
        try:
            ids = torch.tensor([prompt])
            out = self.models[model].generate(ids, attention_mask=torch.ones_like(ids), return_dict_in_generate=True,
                                              output_scores=True, **config)
        finally:
            torch.multinomial = original
        ends = config.get("eos_token_id")
        ends = set(ends if isinstance(ends, list) else [ends])
        sequences = []
        for row in out.sequences.tolist():
            new = row[1:]
            sequences.append(new[:next((i + 1 for i, t in enumerate(new) if t in ends), len(new))])
        return sequences, out


def make_cases():
    oracle, made, idle = Oracle(), [], []
    greedy = lambda model: oracle.tokens(model, PROMPTS[model][0], {"max_new_tokens": 12, "eos_token_id": 2})[0][0]
    for one in cases(greedy):
        config, subject = one["config"], one["subject"]
        one["tokens"], out = oracle.tokens(one["model"], one["prompt"], config)
        if config.get("num_beams", 1) > 1:
            one["scores"] = out.sequences_scores.tolist()
        if subject is not None:
            without = {k: v for k, v in config.items() if k != subject}
            if subject in ("num_beams", "num_return_sequences"):
                without.pop("num_return_sequences", None)
            if subject == "eos_token_id":
                without["eos_token_id"] = 2
            if one["tokens"] == oracle.tokens(one["model"], one["prompt"], without)[0]:
                idle.append(f"{subject} changes nothing: {one}")
        made.append(one)
    if idle:
        sys.exit("\n".join(idle))
    return made


def unigram():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(TEXT.splitlines(), trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t


def make_texts():
    folder = HERE / "goldens" / "models" / "t5-texts"
    folder.mkdir(parents=True, exist_ok=True)
    words = unigram()
    words.save(str(folder / "tokenizer.json"))
    special = dict(pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", **special}, indent=1) + "\n")
    config = make_encoder_decoders.FAMILIES["t5_gated"] | dict(vocab_size=words.get_vocab_size(), decoder_start_token_id=0)
    make_encoder_decoders.make_model(folder, config, seed=3)
    model = make_encoder_decoders.load(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
    rows = []
    for text in ("In the beginning God created the heaven", "darkness was upon the face", "Let there be light: and there was light."):
        for options in ({}, {"max_new_tokens": 8}, {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 10},
                        {"min_new_tokens": 6, "no_repeat_ngram_size": 2}):
            ids = tokenizer(text, return_tensors="pt")
            out = model.generate(input_ids=ids.input_ids, attention_mask=ids.attention_mask, **options)
            rows.append({"model": "t5-texts", "task": "text2text-generation", "input": text, "options": options,
                         "output": [{"generated_text": t} for t in tokenizer.batch_decode(out, skip_special_tokens=True)]})
    assert len({json.dumps(r["output"]) for r in rows}) > len(rows) / 2
    return rows


def main():
    torch.set_num_threads(1)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    lines = lambda rows: ",\n".join(json.dumps(r) for r in rows)
    path = HERE / "goldens" / "text2text.json"
    path.write_text('{"made_with": %s,\n"cases": [\n%s\n],\n"texts": [\n%s\n]}\n'
                    % (json.dumps(versions), lines(make_cases()), lines(make_texts())))
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
