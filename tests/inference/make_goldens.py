"""What transformers generates with each option: goldens/generation.json, replayed by goldens_test.cpp.

    $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_goldens.py     # half a minute

The models are those of tests/parity/goldens/models. Draws are made comparable by giving transformers our random numbers:
torch.multinomial is replaced by the same search of the cumulated probabilities (for beams: Gumbel noise), fed by Philox.
Every case names the key that it is about and must come out otherwise without it.
"""
import json
import math
import os
import pathlib
import sys

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "parity" / "goldens" / "models"
MASK = 0xFFFFFFFF


def philox(seed, stream, counter):
    """Philox4x32-10 with the key `seed` and the counter (counter, stream), as deepspeed/accel/rng.h."""
    c = [counter & MASK, counter >> 32, stream & MASK, stream >> 32]
    k = [seed & MASK, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def uniform(seed, stream, index):
    """draw_uniform of deepspeed/inference/search.h."""
    w = philox(seed, 0x67656E6572617465 ^ stream, index)
    return float(((w[0] << 32) | w[1]) >> 11) * 2.0**-53


class OurDraws:
    """Stands in for torch.multinomial during one generate()."""

    def __init__(self, seed, num_beams):
        self.seed, self.num_beams, self.step = seed, num_beams, 0

    def __call__(self, probabilities, num_samples):
        rows = []
        for row, p in enumerate(probabilities):
            rows.append(self.beams(p, num_samples) if self.num_beams > 1 else [self.one(p, row)])
        self.step += 1
        return torch.tensor(rows)

    def one(self, p, sequence):
        sums = p.double().cumsum(0)
        wanted = uniform(self.seed, sequence, self.step) * sums[-1].item()
        return int((sums <= wanted).sum())

    def beams(self, p, count):
        vocabulary = len(p) // self.num_beams
        ranks = []
        for i, value in enumerate(p.double().tolist()):
            if value > 0:
                u = uniform(self.seed, self.step * self.num_beams + i // vocabulary, i % vocabulary)
                ranks.append((math.log(value) - math.log(-math.log(u)), i))
        return [i for _, i in sorted(ranks, reverse=True)[:count]]


PROMPTS = {
    "llama": [124, 69, 192, 245, 36, 9, 243, 135],
    "gpt2": [132, 216, 101, 149, 92, 139, 152, 107],
    "mistral": [55, 22, 5, 40, 57, 56, 18, 8],
    "bloom": [10, 45, 62, 48, 48, 38, 65, 5],
}


def case(model, subject, more=None, prompt=None, **config):
    return {"model": model, "subject": subject, "prompt": prompt or PROMPTS[model],
            "config": {"max_new_tokens": 12, **config, **(more or {})}}


SAMPLED = {"do_sample": True, "seed": 11, "top_k": 0, "temperature": 3.0}


def cases(greedy):
    """`greedy(model)`: the 12 likeliest tokens, from which options are chosen that change something."""
    ll, gp, mi, bl = (greedy(m) for m in ("llama", "gpt2", "mistral", "bloom"))
    many = {"num_beams": 3}
    yield case("llama", None)
    yield case("gpt2", None)
    yield case("mistral", None)
    yield case("bloom", None)
    yield case("llama", "max_new_tokens", max_new_tokens=5)
    yield case("llama", "max_length", max_new_tokens=None, max_length=10)
    yield case("llama", "eos_token_id", eos_token_id=ll[4])
    yield case("gpt2", "eos_token_id", eos_token_id=[ll[0], gp[6], 3])
    yield case("llama", "min_new_tokens", eos_token_id=ll[2], min_new_tokens=7)
    yield case("llama", "min_length", eos_token_id=[ll[2]], min_length=11)
    yield case("llama", "repetition_penalty", repetition_penalty=1.7)
    yield case("gpt2", "repetition_penalty", repetition_penalty=0.6)
    yield case("llama", "encoder_repetition_penalty", encoder_repetition_penalty=4.5)
    yield case("mistral", "no_repeat_ngram_size", no_repeat_ngram_size=1, max_new_tokens=24)
    yield case("gpt2", "no_repeat_ngram_size", no_repeat_ngram_size=1, max_new_tokens=20)
    yield case("mistral", "encoder_no_repeat_ngram_size", prompt=PROMPTS["mistral"] + mi[:3] + [33],
               encoder_no_repeat_ngram_size=1)
    yield case("llama", "bad_words_ids", bad_words_ids=[[ll[0]], [ll[1], ll[2]], [5, 6, 7]])
    yield case("gpt2", "bad_words_ids", eos_token_id=gp[7], bad_words_ids=[[gp[7]], [gp[0], gp[1]]])
    yield case("llama", "sequence_bias", sequence_bias=[[[ll[0]], -3.0], [[ll[0], 9], 25.5], [[PROMPTS["llama"][-1], 44], 6.25]])
    yield case("llama", "suppress_tokens", suppress_tokens=[ll[0], ll[3], 2])
    yield case("llama", "begin_suppress_tokens", begin_suppress_tokens=[ll[0], 8])
    yield case("llama", "begin_suppress_tokens", prompt=[1], forced_bos_token_id=9,
               begin_suppress_tokens=list(range(3, 250)))
    yield case("llama", "forced_bos_token_id", prompt=[1], forced_bos_token_id=77)
    yield case("gpt2", "forced_eos_token_id", forced_eos_token_id=[31])
    yield case("llama", "exponential_decay_length_penalty", eos_token_id=ll[1] ^ 3,
               exponential_decay_length_penalty=[3, 1.6])
    yield case("llama", None, remove_invalid_values=True, suppress_tokens=[ll[0]])
    yield case("llama", "renormalize_logits", renormalize_logits=True, **SAMPLED)
    for name, value in (("temperature", 0.45), ("top_k", 3), ("top_p", 0.6), ("min_p", 0.3), ("top_h", 0.35),
                        ("typical_p", 0.5), ("epsilon_cutoff", 0.03), ("eta_cutoff", 0.2)):
        yield case("llama", name, {**SAMPLED, name: value})
    yield case("gpt2", "top_p", {**SAMPLED, "top_p": 0.0})
    yield case("gpt2", "top_k", {**SAMPLED, "top_k": None})
    yield case("bloom", "top_p", {**SAMPLED, "top_k": 20, "top_p": 0.7, "min_p": 0.01, "typical_p": 0.97,
                                   "repetition_penalty": 1.3, "temperature": 8.0}, eos_token_id=64)
    yield case("mistral", "num_return_sequences", {**SAMPLED, "num_return_sequences": 4, "top_p": 0.9})
    yield case("gpt2", "seed", {**SAMPLED, "seed": 9007199254740993})
    for model in ("llama", "gpt2", "mistral"):
        yield case(model, "num_beams", num_beams=4)
    yield case("bloom", "num_beams", num_beams=4, no_repeat_ngram_size=1, eos_token_id=64)
    yield case("llama", "num_return_sequences", num_beams=5, num_return_sequences=4)
    yield case("gpt2", "length_penalty", many, eos_token_id=gp[2:9], num_return_sequences=3, length_penalty=-2.5)
    yield case("gpt2", "length_penalty", many, eos_token_id=gp[2:9], num_return_sequences=3, length_penalty=3.5)
    for model, ends in (("llama", ll), ("mistral", mi), ("bloom", bl)):
        for early in (True, False, "never"):
            yield case(model, None, many, eos_token_id=ends[1:6] + [11, 12, 13], num_return_sequences=3,
                       early_stopping=early, max_new_tokens=20)
    yield case("llama", "early_stopping", many, eos_token_id=list(range(0, 259, 4)), early_stopping=True,
               num_return_sequences=3)
    yield case("llama", "repetition_penalty", many, repetition_penalty=1.8)
    yield case("gpt2", "no_repeat_ngram_size", many, no_repeat_ngram_size=2, max_new_tokens=16)
    yield case("llama", "renormalize_logits", many, renormalize_logits=True, suppress_tokens=list(range(20, 240)))
    yield case("llama", "forced_eos_token_id", many, forced_eos_token_id=2, eos_token_id=2, num_return_sequences=2)
    yield case("mistral", "num_beams", {**SAMPLED, "num_beams": 3, "num_return_sequences": 2}, eos_token_id=[7, 8])
    yield case("llama", "num_beams", {**SAMPLED, "num_beams": 4, "top_p": 0.7, "top_k": 50, "temperature": 1.4})


class Oracle:
    def __init__(self):
        torch.set_num_threads(1)
        self.models = {}

    def model(self, name):
        if name not in self.models:
            self.models[name] = AutoModelForCausalLM.from_pretrained(MODELS / f"{name}-sharp", dtype=torch.float32).eval()
        return self.models[name]

    def generate(self, model, prompt, config, **more):
        config = dict(config)
        seed = config.pop("seed", 0)
        original = torch.multinomial
        torch.multinomial = OurDraws(seed, config.get("num_beams", 1))
        try:
            ids = torch.tensor([prompt])
            return self.model(model).generate(ids, attention_mask=torch.ones_like(ids), return_dict_in_generate=True,
                                              output_scores=True, output_logits=True, **config, **more)
        finally:
            torch.multinomial = original

    def tokens(self, model, prompt, config, **more):
        """New tokens of each sequence; what follows the first end token is padding."""
        out = self.generate(model, prompt, config, **more)
        ends = config.get("eos_token_id", self.model(model).generation_config.eos_token_id)
        ends = set(ends if isinstance(ends, list) else [ends])
        sequences = []
        for row in out.sequences.tolist():
            new = row[len(prompt):]
            end = next((i + 1 for i, t in enumerate(new) if t in ends), len(new))
            sequences.append(new[:end])
        return sequences, out


def tokenizer():
    """259 tokens of one to three characters, some of which stand within characters of several bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text_bytes = {chr(b): chr(b) for b in range(33, 127)}
    words, letters, i = ["<pad>", "<s>", "</s>"], "abcdefghij", 0
    while len(words) < 259:
        first, second = letters[i % 10], letters[(i // 10) % 10]
        word = [first, first + second, "Ġ" + first + second, second + first + "."][i % 4] + ("" if i < 40 else str(i // 40))
        if word not in words:
            words.append(word)
        i += 1
    t = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[]))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(words[:3])
    path = HERE / "goldens" / "tokenizer.json"
    t.save(str(path))
    return PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="</s>", bos_token="<s>", pad_token="<pad>")


def stop_cases(oracle):
    """Stop strings from the text of the likeliest tokens: over borders, within a token, several at once."""
    words = tokenizer()
    prompt = PROMPTS["llama"]
    plain, _ = oracle.tokens("llama", prompt, {"max_new_tokens": 24})
    text = words.decode(plain[0], skip_special_tokens=True)
    pieces = [words.decode([t]) for t in plain[0]]
    border = len("".join(pieces[:6]))
    for stops in ([text[border - 1:border + 2]], [text[border - 2:border + 3], "zzz"], [pieces[9][-1:]],
                  [pieces[12] + pieces[13], pieces[8] + pieces[9]]):
        for beams in ({}, {"num_beams": 3}):
            config = {"max_new_tokens": 24, "stop_strings": stops, **beams}
            tokens, _ = oracle.tokens("llama", prompt, config, tokenizer=words)
            whole = words.decode(tokens[0], skip_special_tokens=True)
            ends = [whole.find(s) for s in stops if s in whole]
            yield {"model": "llama", "subject": "stop_strings", "prompt": prompt, "config": config, "tokens": tokens,
                   "text": whole[:min(ends)] if ends else whole, "stopped": bool(ends)}


def logprob_case(oracle, model):
    prompt = PROMPTS[model]
    tokens, out = oracle.tokens(model, prompt, {"max_new_tokens": 6, "repetition_penalty": 1.4})
    steps = []
    for token, logits in zip(tokens[0], out.logits):
        row = logits[0].log_softmax(-1)
        top = row.topk(3)
        steps.append({"token": token, "logprob": row[token].item(), "top": list(zip(top.indices.tolist(), top.values.tolist()))})
    with torch.no_grad():
        rows = oracle.model(model)(torch.tensor([prompt])).logits[0].log_softmax(-1)
    return {"model": model, "prompt": prompt, "config": {"max_new_tokens": 6, "repetition_penalty": 1.4, "logprobs": 3, "echo": True},
            "steps": steps, "prompt_logprobs": [rows[t, prompt[t + 1]].item() for t in range(len(prompt) - 1)]}


def main():
    oracle = Oracle()
    made, idle = [], []
    likeliest = lambda model: oracle.tokens(model, PROMPTS[model], {"max_new_tokens": 12, "eos_token_id": None})[0][0]
    for one in cases(likeliest):
        config = one["config"]
        one["tokens"], out = oracle.tokens(one["model"], one["prompt"], config)
        if config.get("num_beams", 1) > 1:
            one["scores"] = out.sequences_scores.tolist()
        subject = one["subject"]
        if subject is not None:
            without = {k: v for k, v in config.items() if k != subject}
            if subject in ("num_beams", "num_return_sequences"):
                without.pop("num_return_sequences", None)
            if one["tokens"] == oracle.tokens(one["model"], one["prompt"], without)[0]:
                if not (subject == "renormalize_logits" and config.get("do_sample")):  # which changes no probability
                    idle.append(f"{subject} changes nothing: {one}")
        made.append(one)
    if idle:
        sys.exit("\n".join(idle))
    made += stop_cases(oracle)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    golden = {"made_with": versions, "cases": made, "logprobs": [logprob_case(oracle, m) for m in ("llama", "bloom")]}
    lines = [json.dumps(c) for c in golden["cases"]]
    path = HERE / "goldens" / "generation.json"
    path.write_text('{"made_with": %s,\n"cases": [\n%s\n],\n"logprobs": %s}\n'
                    % (json.dumps(versions), ",\n".join(lines), json.dumps(golden["logprobs"])))
    print(f"{len(made)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
