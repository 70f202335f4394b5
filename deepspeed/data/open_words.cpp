#include "deepspeed/data/open_words.h"

#include <optional>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/data/class_label.h"
#include "deepspeed/data/sequence_files.h"
#include "deepspeed/text/labelled_words.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::data {
namespace {

constexpr int64_t kIgnored = -100;

// A sentence's words in a row, and where each ends, in code points.
struct Joined {
  std::string text;
  std::vector<size_t> ends;
};

Joined join(const std::vector<std::string>& words) {
  Joined out;
  size_t end = 0;
  for (const std::string& word : words) {
    if (!out.text.empty()) out.text += ' ', ++end;
    out.text += word;
    out.ends.push_back(end += text::count_code_points(word));
  }
  return out;
}

class Reader {
 public:
  Reader(std::string name, const SequenceOptions& options) : name_(std::move(name)), options_(options) {}

  void add(size_t line, const text::LabelledWords& sentence) {
    const std::string where = fmt::format("{}:{}", name_, line);
    const Joined joined = join(sentence.words);
    text::EncodeOptions encode;
    encode.truncation = text::Truncation{.max_length = static_cast<size_t>(options_.length)};
    const text::Encoding tokens = [&] {
      try {
        return options_.tokenizer().encode(joined.text, encode);
      } catch (const base::Error& error) {
        base::fail("{}: {}", where, error.what());
      }
    }();
    shortened_ += !tokens.overflowing.empty();

    Sequence out = sequence_of(tokens, options_, where);
    out.labels.assign(tokens.size(), kIgnored);
    size_t word = 0;
    std::optional<size_t> labelled;  // the last word that has its token
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto [begin, end] = tokens.offsets[t];
      if (tokens.special_tokens_mask[t] != 0 || begin == end) continue;
      // By its last character: a token of a byte-level tokenizer may begin with the space before its word.
      while (word + 1 < joined.ends.size() && joined.ends[word] < end) ++word;
      if (labelled == word) continue;
      labelled = word;
      out.labels[t] = class_of(sentence.labels[word], options_.classes, options_.class_names, where);
    }
    for (size_t w = word + 1; w < sentence.labels.size(); ++w)  // those cut off must be classes, too
      class_of(sentence.labels[w], options_.classes, options_.class_names, where);
    sequences_.push_back(std::move(out));
  }

  Sequences finish() && {
    std::string note;
    if (shortened_ > 0)
      note = fmt::format("{}: {} of {} sentences cut to --seq-length", name_, shortened_, sequences_.size());
    return finished(std::move(sequences_), LabelKind::kTokens, options_, name_, "sentence", std::move(note));
  }

 private:
  std::string name_;
  const SequenceOptions& options_;
  std::vector<Sequence> sequences_;
  size_t shortened_ = 0;
};

}  // namespace

Sequences open_words(const std::filesystem::path& path, const SequenceOptions& options) {
  const auto suffix = path.extension();
  DS_CHECK(suffix == ".jsonl" || suffix == ".conll", "'{}': its name must end in .jsonl or .conll",
           path.string());
  if (brings_tokens(path)) {
    SequenceOptions of_tokens = options;
    of_tokens.kind = LabelKind::kTokens;
    return open_sequences(path, of_tokens);
  }
  const base::MappedFile file(path);
  Reader reader(path.string(), options);
  const auto add = [&](size_t line, const text::LabelledWords& sentence) { reader.add(line, sentence); };
  if (suffix == ".conll")
    text::read_word_columns(text_of(file), path.string(), add);
  else
    text::read_word_json_lines(text_of(file), path.string(), add);
  return std::move(reader).finish();
}

}  // namespace deepspeed::data
