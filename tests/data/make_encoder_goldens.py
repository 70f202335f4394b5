"""What transformers' examples make of labelled words and of questions: run_ner.py's tokenize_and_align_labels and
run_qa.py's prepare_train_features, with the tokenizer tests/text/goldens/bert.json.

  python3 tests/data/make_encoder_goldens.py        (transformers 5.x, as benchmarks/peers/env.sh ds installs it)

Writes goldens/words.json and goldens/questions.json: the input files' lines, the options, and every feature's ids, token types
and labels. run_qa.py lets the first token of an answer run past the context when the answer begins with its last token; such
answers are not among the cases.
"""
import json
import pathlib

import transformers

HERE = pathlib.Path(__file__).resolve().parent
TOKENIZER = HERE.parent / "text/goldens/bert.json"
CLASSES = ["O", "B-PER", "I-PER", "B-LOC"]


def tokenizer():
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
                                                unk_token="[UNK]", mask_token="[MASK]",
                                                model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def words(t, sentences, length):
    features = []
    for sentence in sentences:
        made = t(sentence["tokens"], is_split_into_words=True, truncation=True, max_length=length)
        labels, previous = [], None
        for word in made.word_ids():
            if word is None or word == previous:
                labels.append(-100)
            else:
                label = sentence["labels"][word]
                labels.append(CLASSES.index(label) if isinstance(label, str) else label)
            previous = word
        features.append(dict(ids=made["input_ids"], token_types=made["token_type_ids"], labels=labels))
    return features


def questions(t, examples, length):
    features = []
    for example in examples:
        question = example["question"].lstrip()
        room = length - len(t(question, add_special_tokens=False)["input_ids"]) - 3
        made = t(question, example["context"], truncation="only_second", max_length=length, stride=min(length // 3, room // 2),
                 return_overflowing_tokens=True, return_offsets_mapping=True)
        for i, offsets in enumerate(made["offset_mapping"]):
            ids, sequence = made["input_ids"][i], made.sequence_ids(i)
            start = end = 0
            if example["answers"]["text"]:
                first = example["answers"]["answer_start"][0]
                last = first + len(example["answers"]["text"][0])
                a = sequence.index(1)
                b = len(ids) - 1
                while sequence[b] != 1:
                    b -= 1
                if offsets[a][0] <= first and offsets[b][1] >= last:
                    while a < len(offsets) and offsets[a][0] <= first:
                        a += 1
                    while offsets[b][1] >= last:
                        b -= 1
                    start, end = a - 1, b + 1
            features.append(dict(ids=ids, token_types=made["token_type_ids"][i], labels=[start, end]))
    return features


def main():
    t = tokenizer()
    sentences = [
        dict(tokens=["Abraham", "went", "up", "out", "of", "Egypt", "."], labels=["B-PER", "O", "O", "O", "O", "B-LOC", "O"]),
        dict(tokens=["Melchizedek's", "ὁ", "naïve", "x-y", "don't", "日本"], labels=[1, 0, 2, 3, 0, 3]),
        dict(tokens=["Nebuchadnezzar"] * 9, labels=["B-PER"] + ["I-PER"] * 8),
        dict(tokens=["a"], labels=["O"]),
    ]
    context = ("In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness was upon the face "
               "of the deep. And the Spirit of God moved upon the face of the waters. Ünïcödé: λόγος.")
    examples = []
    for question, answer in [("Who created the heaven?", "God"), ("  What moved upon the waters?", "the Spirit of God"), ("What was without form?", "the earth was"),
                             ("Which word is Greek?", "λόγος"), ("When was tea invented?", None), ("What was upon the face of the deep?", "darkness")]:
        examples.append(dict(question=question, context=context, answers=dict(text=[answer] if answer else [], answer_start=[context.index(answer)] if answer else [])))
    for name, make, lines, lengths in [("words", words, sentences, (12, 40)), ("questions", questions, examples, (40, 64, 300))]:
        runs = [dict(length=length, features=make(t, lines, length)) for length in lengths]
        (HERE / f"goldens/{name}.json").write_text(json.dumps(dict(transformers=transformers.__version__, classes=CLASSES, lines=lines, runs=runs), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
