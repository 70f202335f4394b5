#include "deepspeed/data/open_sequences.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "deepspeed/base/error.h"
#include "deepspeed/data/class_label.h"
#include "deepspeed/data/sequence_files.h"
#include "deepspeed/text/labelled_lines.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kIgnored = -100;

// Makes sequences of lines.
class Reader {
 public:
  Reader(std::string name, const SequenceOptions& options) : name_(std::move(name)), options_(options) {}

  void add(size_t line, const text::LabelledLine& example) {
    where_ = fmt::format("{}:{}", name_, line);
    if (const auto* tokens = std::get_if<text::LabelledTokens>(&example))
      add_tokens(*tokens);
    else
      add_text(std::get<text::LabelledText>(example));
  }

  Sequences finish() && {
    std::string note;
    if (shortened_ > 0)
      note = fmt::format("{}: {} of {} sequences cut to --seq-length", name_, shortened_, sequences_.size());
    return finished(std::move(sequences_), options_.kind, options_, name_, "sequence", std::move(note));
  }

 private:
  void add_tokens(const text::LabelledTokens& tokens) {
    Sequence s{tokens.ids, tokens.token_types, {}, 0};
    check_range("input_ids", s.ids, 0, options_.vocab);
    check_range("token_type_ids", s.token_types, 0, options_.token_types);
    const auto* of_tokens = std::get_if<std::vector<int64_t>>(&tokens.labels);
    DS_CHECK((of_tokens != nullptr) == (options_.kind == LabelKind::kTokens), "{}: the objective wants {}",
             where_,
             options_.kind == LabelKind::kTokens ? "a label of every token (\"labels\", an array)"
                                                 : "one label of the sequence (\"label\")");
    if (of_tokens != nullptr) {
      s.labels = *of_tokens;
      check_range("labels", s.labels, 0, options_.classes, kIgnored);
    } else {
      s.label = label_of(std::get<text::Label>(tokens.labels));
    }
    const auto most = static_cast<size_t>(options_.length);
    shortened_ += s.ids.size() > most;
    for (auto* row : {&s.ids, &s.token_types, &s.labels}) row->resize(std::min(row->size(), most));
    sequences_.push_back(std::move(s));
  }

  void check_range(const char* field, const std::vector<int64_t>& values, int64_t low, int64_t high,
                   std::optional<int64_t> besides = std::nullopt) const {
    for (const int64_t value : values)
      DS_CHECK((value >= low && value < high) || value == besides, "{}: \"{}\" holds {}, outside 0 ... {}",
               where_, field, value, high - 1);
  }

  void add_text(const text::LabelledText& example) {
    DS_CHECK(options_.kind != LabelKind::kTokens, "{}: a text has no labels of tokens", where_);
    const text::Tokenizer& tokenizer = options_.tokenizer();
    const auto encode = [&](const std::string& text) {
      try {
        return tokenizer.encode_ids(text);
      } catch (const base::Error& error) {
        base::fail("{}: {}", where_, error.what());
      }
    };
    std::vector<int32_t> first = encode(example.text), second;
    if (example.pair) second = encode(*example.pair);
    const size_t specials = example.pair ? 3 : 2, most = static_cast<size_t>(options_.length);
    DS_CHECK(most > specials, "--seq-length {} leaves no room beside {} special tokens", most, specials);
    const auto [a, b] = longest_first(first.size(), second.size(), most - specials);
    shortened_ += a < first.size() || b < second.size();
    first.resize(a);
    second.resize(b);
    sequences_.push_back(
        assemble(tokenizer, first, example.pair ? &second : nullptr, label_of(example.label)));
  }

  Sequence assemble(const text::Tokenizer& tokenizer, const std::vector<int32_t>& first,
                    const std::vector<int32_t>* second, double label) const {
    const int64_t begin = special_token(tokenizer, "[CLS]"), end = special_token(tokenizer, "[SEP]");
    Sequence s{{begin}, {}, {}, label};
    s.ids.insert(s.ids.end(), first.begin(), first.end());
    s.ids.push_back(end);
    s.token_types.assign(s.ids.size(), 0);
    if (second != nullptr) {
      DS_CHECK(options_.token_types >= 2, "{}: a second text needs a model with two token types", where_);
      s.ids.insert(s.ids.end(), second->begin(), second->end());
      s.ids.push_back(end);
      s.token_types.resize(s.ids.size(), 1);
    }
    check_range("text", s.ids, 0, options_.vocab);
    return s;
  }

  double label_of(const text::Label& label) const {
    if (options_.kind == LabelKind::kValue) {
      if (const auto* whole = std::get_if<int64_t>(&label)) return static_cast<double>(*whole);
      const auto* value = std::get_if<double>(&label);
      DS_CHECK(value != nullptr, "{}: label {} is not a number, which a model of one label learns", where_,
               text::quote(std::get<std::string>(label)));
      DS_CHECK(std::abs(*value) <= std::numeric_limits<float>::max(), "{}: label {} is too large", where_,
               *value);
      return *value;
    }
    return static_cast<double>(class_of(label, options_.classes, options_.class_names, where_));
  }

  std::string name_, where_;
  const SequenceOptions& options_;
  std::vector<Sequence> sequences_;
  size_t shortened_ = 0;
};

}  // namespace

Sequences open_sequences(const fs::path& path, const SequenceOptions& options) {
  const fs::path suffix = path.extension();
  DS_CHECK(suffix == ".jsonl" || suffix == ".tsv", "'{}': its name must end in .jsonl or .tsv",
           path.string());
  const base::MappedFile file(path);
  Reader reader(path.string(), options);
  const auto add = [&](size_t line, const text::LabelledLine& example) { reader.add(line, example); };
  if (suffix == ".tsv")
    text::read_labelled_table(text_of(file), path.string(), add);
  else
    text::read_labelled_json_lines(text_of(file), path.string(), options.text_field, add);
  return std::move(reader).finish();
}

bool brings_tokens(const fs::path& path) {
  return path.extension() == ".jsonl" && text::holds_tokens(text_of(base::MappedFile(path)));
}

std::pair<size_t, size_t> longest_first(size_t first, size_t second, size_t room) {
  if (first + second <= room) return {first, second};
  size_t less = std::min(first, second);
  size_t more = less > room ? less : std::max(less, room - less);
  if (less + more > room) {
    less = room / 2;
    more = less + room % 2;
  }
  return first <= second ? std::pair(less, more) : std::pair(more, less);
}

int64_t special_token(const text::Tokenizer& tokenizer, const char* token) {
  const auto id = tokenizer.token_to_id(token);
  DS_CHECK(id, "the model's tokenizer.json has no token {}, which encoders are trained with", token);
  return *id;
}

}  // namespace deepspeed::data
