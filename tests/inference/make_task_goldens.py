"""Tiny encoders with a head and a tokenizer for every task, and what transformers' pipelines answer with them.

  $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_task_goldens.py              (transformers 5.23.0)
  $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_task_goldens.py --writing    (the same; goldens/writing.json)
  $(benchmarks/peers/env.sh old)/bin/python tests/inference/make_task_goldens.py --answers   (transformers 4.57.1: version 5
                                                                                              has no question-answering)
goldens/models/NAME      config.json, model.safetensors, tokenizer.json, tokenizer_config.json
goldens/tasks.json       cases: model, task, input, options (of ours), output (of the pipeline)
goldens/answers.json     the same of question answering
goldens/writing.json     the same of text-generation and chat, by a tiny LLaMA with a chat template
Sentence vectors are sentence-transformers' formulas over the model's last hidden states.
"""
import json
import pathlib
import shutil
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "goldens"
TEXT = (HERE.parent / "text" / "goldens" / "genesis.txt").read_text()
ENTITIES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def word_piece():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(TEXT.splitlines(), trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t, dict(unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def byte_level():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXT.splitlines(), trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return t, dict(unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>", mask_token="<mask>",
                   bos_token="<s>", eos_token="</s>")


def save_tokenizer(folder, made, inputs, longest):
    from transformers import PreTrainedTokenizerFast
    tokenizer, special = made
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=longest, model_input_names=inputs,
                            **special).save_pretrained(folder)
    for name in ("special_tokens_map.json", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)


def make(name, kind, config, made, inputs, longest, std=0.35, seed=5):
    folder = OUT / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, std)
            elif key.endswith("bias"):
                parameter.normal_(0, 0.3)
    model.eval().save_pretrained(folder)
    save_tokenizer(folder, made, inputs, longest)


def sizes(vocab, **more):
    return dict(vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, **more)


def labels_of(names):
    return dict(id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)})


def make_models():
    from transformers import (BertConfig, BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification,
                              BertModel, DistilBertConfig, DistilBertForQuestionAnswering, RobertaConfig,
                              RobertaForMaskedLM, RobertaForSequenceClassification, RobertaForTokenClassification,
                              RobertaForQuestionAnswering)
    typed, plain = ["input_ids", "token_type_ids", "attention_mask"], ["input_ids", "attention_mask"]
    words, bytes_ = word_piece(), byte_level()
    w, b = words[0].get_vocab_size(), bytes_[0].get_vocab_size()
    bert = lambda **more: BertConfig(**sizes(w, max_position_embeddings=64, pad_token_id=0, **more))
    roberta = lambda **more: RobertaConfig(**sizes(b, max_position_embeddings=66, pad_token_id=1, type_vocab_size=1, **more))
    make("bert-masks", BertForMaskedLM, bert(), words, typed, 64)
    make("roberta-masks", RobertaForMaskedLM, roberta(), bytes_, plain, 64)
    make("roberta-classes", RobertaForSequenceClassification, roberta(**labels_of(["bad", "fair", "good"])), bytes_, plain, 64)
    make("bert-regression", BertForSequenceClassification, bert(num_labels=1), words, typed, 64)
    make("bert-entities", BertForTokenClassification, bert(**labels_of(ENTITIES)), words, typed, 24)
    make("roberta-entities", RobertaForTokenClassification, roberta(**labels_of(ENTITIES)), bytes_, plain, 64)
    make("distilbert-answers", DistilBertForQuestionAnswering,
         DistilBertConfig(vocab_size=w, dim=32, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=64,
                          pad_token_id=0), words, plain, 64)
    make("roberta-answers", RobertaForQuestionAnswering, roberta(), bytes_, plain, 64)
    make("bert-vectors", BertModel, bert(), words, typed, 64)
    folder = OUT / "models" / "bert-vectors"
    types = "sentence_transformers.models."
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": types + "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": types + "Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": types + "Normalize"}], indent=2) + "\n")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(
        {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
         "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}, indent=2) + "\n")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}) + "\n")


MASKS = ["in the beginning god created the [MASK] and the earth.", "and the [MASK] was without [MASK], and void."]
TEXTS = ["And God said, Let there be light: and there was light.", "And Abraham lifted up his eyes, and looked.",
         "Jacob went to Zürich \U0001f600 with Esau's 3 sons."]
PAIR = {"text": "And the evening and the morning were the first day.", "text_pair": "Let there be a firmament."}
LONG = " ".join(TEXT.split()[:60])


def plain(value):
    """Numbers and lists that JSON has."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return float(f"{value:.7g}") if isinstance(value, float) else value


class Cases:
    def __init__(self):
        self.rows, self.pipes = [], {}

    def add(self, model, task, given, ours=None, **theirs):
        from transformers import pipeline
        if model not in self.pipes:
            self.pipes[model] = pipeline(task, model=str(OUT / "models" / model), device="cpu")
        output = self.pipes[model](given, **theirs)
        self.rows.append({"model": model, "task": task, "input": given, "options": ours or theirs, "output": plain(output)})


def masks(cases):
    for text in MASKS:
        cases.add("bert-masks", "fill-mask", text)
        cases.add("bert-masks", "fill-mask", text, top_k=2)
    cases.add("bert-masks", "fill-mask", MASKS[0], targets=["heaven", "light", "god"])
    for text in MASKS:
        cases.add("roberta-masks", "fill-mask", text.replace("[MASK]", "<mask>"))


def classes(cases):
    for text in TEXTS:
        cases.add("roberta-classes", "text-classification", text, top_k=1)
        cases.add("roberta-classes", "text-classification", text, top_k=3)
    cases.add("roberta-classes", "text-classification", PAIR, top_k=3)
    cases.add("roberta-classes", "text-classification", TEXTS[0], top_k=3, function_to_apply="sigmoid")
    cases.add("roberta-classes", "text-classification", TEXTS[0], top_k=3, function_to_apply="none")
    cases.add("bert-regression", "text-classification", TEXTS[1], top_k=1)
    cases.add("bert-regression", "text-classification", PAIR, top_k=1)


def entities(cases):
    for model in ("bert-entities", "roberta-entities"):
        for strategy in ("none", "simple", "first", "average", "max"):
            for text in TEXTS:
                cases.add(model, "token-classification", text, aggregation_strategy=strategy)
    cases.add("bert-entities", "token-classification", LONG, aggregation_strategy="simple")
    cases.add("bert-entities", "token-classification", LONG, aggregation_strategy="simple", stride=6)
    cases.add("bert-entities", "token-classification", TEXTS[0], aggregation_strategy="simple", ignore_labels=["PER"])


def vectors(cases):
    from transformers import AutoModel, AutoTokenizer
    cases.add("bert-vectors", "feature-extraction", TEXTS[0], ours={"pooling": "none"})
    folder = OUT / "models" / "bert-vectors"
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def pooled(text, kind):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=16)).last_hidden_state[0]
        count = len(hidden)
        weights = torch.arange(1, count + 1, dtype=torch.float32)[:, None]
        return {"cls": lambda: hidden[0], "mean": lambda: hidden.mean(0), "max": lambda: hidden.max(0).values,
                "mean_sqrt_len": lambda: hidden.sum(0) / count ** 0.5, "lasttoken": lambda: hidden[-1],
                "weightedmean": lambda: (hidden * weights).sum(0) / weights.sum()}[kind]()

    for text in TEXTS:
        vector = pooled(text, "mean")
        cases.rows.append({"model": "bert-vectors", "task": "feature-extraction", "input": text, "options": {},
                           "output": plain((vector / vector.norm()).tolist())})
    for kind in ("cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"):
        cases.rows.append({"model": "bert-vectors", "task": "feature-extraction", "input": TEXTS[1],
                           "options": {"pooling": kind, "max_seq_length": 16}, "output": plain(pooled(TEXTS[1], kind).tolist())})


QUESTIONS = [("What did God create?", "In the beginning God created the heaven and the earth."),
             ("Who was there?", LONG), ("When?", "And the evening and the morning were the first day \U0001f600 in Zürich.")]


def make_answers():
    from transformers import (AutoModelForQuestionAnswering, PreTrainedTokenizerFast, QuestionAnsweringPipeline)
    rows = []
    for name in ("distilbert-answers", "roberta-answers"):
        folder = OUT / "models" / name
        config = json.loads((folder / "tokenizer_config.json").read_text())
        special = {key: value for key, value in config.items() if key.endswith("_token")}
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=64,
                                            model_input_names=["input_ids", "attention_mask"], **special)
        pipe = QuestionAnsweringPipeline(AutoModelForQuestionAnswering.from_pretrained(folder).eval(), tokenizer)
        for question, context in QUESTIONS:
            for options in ({}, {"top_k": 3}, {"handle_impossible_answer": True, "top_k": 2}, {"align_to_words": False},
                            {"max_seq_len": 32, "doc_stride": 8, "top_k": 2}, {"max_answer_len": 2}):
                output = pipe(question=question, context=context, **options)
                rows.append({"model": name, "task": "question-answering", "input": {"question": question, "context": context},
                             "options": options, "output": plain(output if isinstance(output, list) else [output])})
    (OUT / "answers.json").write_text(json.dumps(rows, indent=1) + "\n")


CHAT = ("{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
CONVERSATION = [{"role": "system", "content": "You are a prophet."}, {"role": "user", "content": "Who made the heaven?"},
                {"role": "assistant", "content": "God made it."}, {"role": "user", "content": "And the earth?"}]


def make_writer():
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from tokenizers import processors
    tokenizer, special = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    config = LlamaConfig(**sizes(tokenizer.get_vocab_size(), num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0,
                                 eos_token_id=2, pad_token_id=1))
    make("llama-texts", LlamaForCausalLM, config, (tokenizer, special), ["input_ids", "attention_mask"], 128)
    folder = OUT / "models" / "llama-texts"
    made = PreTrainedTokenizerFast.from_pretrained(folder)
    made.chat_template = CHAT
    made.save_pretrained(folder)
    return folder


def make_writing():
    from transformers import pipeline
    pipe = pipeline("text-generation", model=str(make_writer()), device="cpu")
    rows = []

    def add(task, given, options):
        with torch.no_grad():
            output = pipe(given, return_full_text=False, **{"do_sample": False, **options})
        rows.append({"model": "llama-texts", "task": task, "input": given, "options": options, "output": output})

    for text in TEXTS:
        add("text-generation", text, {"max_new_tokens": 24})
    add("text-generation", TEXTS[0], {"max_new_tokens": 12, "num_beams": 3, "num_return_sequences": 2})
    add("text-generation", TEXTS[1], {"max_new_tokens": 24, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2})
    add("chat", CONVERSATION[1:2], {"max_new_tokens": 16})
    add("chat", CONVERSATION, {"max_new_tokens": 24})
    (OUT / "writing.json").write_text(json.dumps(rows, indent=1) + "\n")


def main():
    if "--answers" in sys.argv:
        return make_answers()
    if "--writing" in sys.argv:
        return make_writing()
    make_models()
    cases = Cases()
    for part in (masks, classes, entities, vectors):
        part(cases)
    (OUT / "tasks.json").write_text(json.dumps(cases.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
