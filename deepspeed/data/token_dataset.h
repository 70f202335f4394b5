// Token streams for causal language models, cut into samples of equal length.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "deepspeed/base/file.h"
#include "deepspeed/data/loader.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::data {

/// Sample i is tokens [i*N, (i+1)*N) of the stream as one int64 tensor [N]; a shorter rest is left out.
class TokenDataset : public Dataset {
 public:
  struct Options {
    int64_t sequence_length = 0;
    int64_t vocab = 0;  // every id must lie below it
  };
  /// A .bin of little-endian ids, 2 or 4 bytes each, memory-mapped. Errors: a size that is no multiple, fewer
  /// tokens than one sample, an id outside the vocabulary (named with its position).
  static std::shared_ptr<TokenDataset> from_bin(const std::filesystem::path& path, int bytes_per_token,
                                                const Options& options);
  /// Ids already in memory; `name` stands for the file in errors.
  static std::shared_ptr<TokenDataset> from_ids(std::vector<int32_t> ids, const std::string& name,
                                                const Options& options);

  int64_t size() const override { return tokens_ / options_.sequence_length; }
  std::vector<at::Tensor> get(int64_t index) const override;
  int64_t tokens() const { return tokens_; }
  /// Token `position` of the stream.
  int64_t token(int64_t position) const;

 private:
  TokenDataset(const std::string& name, const Options& options) : name_(name), options_(options) {}
  void check() const;

  std::string name_;
  Options options_;
  int64_t tokens_ = 0;
  std::optional<base::MappedFile> mapped_;
  int bytes_per_token_ = 4;
  std::vector<int32_t> ids_;
};

/// The ids of a text: a .txt as one document; a .jsonl's `text_field` of each line, documents ended by the
/// tokenizer's end-of-text token where it has one ("<|endoftext|>", "</s>", "<|end_of_text|>"). Errors name
/// file and line.
std::vector<int32_t> tokenize_file(const std::filesystem::path& path, const text::Tokenizer& tokenizer,
                                   const std::string& text_field);

}  // namespace deepspeed::data
