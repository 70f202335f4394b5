#include "deepspeed/data/open_questions.h"

#include <algorithm>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/data/sequence_files.h"
#include "deepspeed/text/questions.h"

namespace deepspeed::data {
namespace {

// Tokens [begin, end) of a sequence that are the context's.
struct Part {
  size_t begin = 0, end = 0;
};

Part context_of(const text::Encoding& tokens) {
  Part part;
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens.sequences[t] != 1) continue;
    if (part.end == 0) part.begin = t;
    part.end = t + 1;
  }
  return part;
}

// First and last token of the characters [answer.start, answer.end), if the part holds them all.
std::vector<int64_t> span_of(const text::Encoding& tokens, const Part& part,
                             const text::QuestionExample::Answer& answer) {
  if (part.begin == part.end || answer.start < tokens.offsets[part.begin].first ||
      answer.end > tokens.offsets[part.end - 1].second)
    return {0, 0};
  size_t first = part.begin, last = part.end - 1;
  while (first + 1 < part.end && tokens.offsets[first + 1].first <= answer.start) ++first;
  while (last > part.begin && tokens.offsets[last - 1].second >= answer.end) --last;
  return {static_cast<int64_t>(first), static_cast<int64_t>(last)};
}

class Reader {
 public:
  Reader(std::string name, const SequenceOptions& options) : name_(std::move(name)), options_(options) {}

  void add(const std::string& where, text::QuestionExample example) {
    ++questions_;
    // Spaces in front of a question would take its room from the context.
    example.question.erase(0,
                           std::min(example.question.find_first_not_of(" \t\r\n"), example.question.size()));
    const text::Encoding tokens = encode(where, example);
    add_part(where, tokens, example);
    for (const text::Encoding& part : tokens.overflowing) add_part(where, part, example);
  }

  Sequences finish() && {
    std::string note;
    if (sequences_.size() > questions_)
      note = fmt::format("{}: {} questions are read in {} sequences of --seq-length", name_, questions_,
                         sequences_.size());
    return finished(std::move(sequences_), LabelKind::kSpan, options_, name_, "question", std::move(note));
  }

 private:
  text::Encoding encode(const std::string& where, const text::QuestionExample& example) const {
    const text::Tokenizer& tokenizer = options_.tokenizer();
    try {
      const size_t question = tokenizer.encode(example.question, false).size();
      const size_t specials = tokenizer.encode_pair("", "").size();
      const auto most = static_cast<size_t>(options_.length);
      DS_CHECK(
          question + specials < most,
          "the question's {} tokens and {} special ones leave no room for the context in --seq-length {}",
          question, specials, most);
      text::EncodeOptions cut;
      cut.truncation = text::Truncation{.max_length = most,
                                        .stride = std::min(most / 3, (most - question - specials) / 2),
                                        .strategy = text::Truncation::Strategy::kOnlySecond};
      return tokenizer.encode_pair(example.question, example.context, cut);
    } catch (const base::Error& error) {
      base::fail("{}: {}", where, error.what());
    }
  }

  void add_part(const std::string& where, const text::Encoding& tokens,
                const text::QuestionExample& example) {
    Sequence out = sequence_of(tokens, options_, where);
    out.labels = {0, 0};
    if (!example.answers.empty()) out.labels = span_of(tokens, context_of(tokens), example.answers.front());
    sequences_.push_back(std::move(out));
  }

  std::string name_;
  const SequenceOptions& options_;
  std::vector<Sequence> sequences_;
  size_t questions_ = 0;
};

}  // namespace

Sequences open_questions(const std::filesystem::path& path, const SequenceOptions& options) {
  const auto suffix = path.extension();
  DS_CHECK(suffix == ".json" || suffix == ".jsonl", "'{}': its name must end in .json (SQuAD) or .jsonl",
           path.string());
  const base::MappedFile file(path);
  Reader reader(path.string(), options);
  const auto add = [&](const std::string& where, text::QuestionExample example) {
    reader.add(where, std::move(example));
  };
  if (suffix == ".json")
    text::read_squad(text_of(file), path.string(), add);
  else
    text::read_question_json_lines(text_of(file), path.string(), add);
  return std::move(reader).finish();
}

}  // namespace deepspeed::data
