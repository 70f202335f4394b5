#include "deepspeed/data/sequence_files.h"

#include "deepspeed/base/error.h"

namespace deepspeed::data {

std::string_view text_of(const base::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Sequence sequence_of(const text::Encoding& tokens, const SequenceOptions& options, const std::string& where) {
  Sequence out;
  for (size_t t = 0; t < tokens.size(); ++t) {
    DS_CHECK(tokens.ids[t] < options.vocab, "{}: token {} is outside the model's vocabulary of {}", where,
             tokens.ids[t], options.vocab);
    DS_CHECK(tokens.type_ids[t] < options.token_types,
             "{}: the tokenizer gives a token the type {}, of which the model has {}", where,
             tokens.type_ids[t], options.token_types);
    out.ids.push_back(tokens.ids[t]);
    out.token_types.push_back(tokens.type_ids[t]);
  }
  return out;
}

Sequences finished(std::vector<Sequence> sequences, LabelKind kind, const SequenceOptions& options,
                   const std::string& file, const char* what, std::string note) {
  DS_CHECK(!sequences.empty(), "'{}' holds no {}", file, what);
  return {std::make_shared<SequenceDataset>(std::move(sequences), kind, options.length, options.padding),
          std::move(note)};
}

}  // namespace deepspeed::data
