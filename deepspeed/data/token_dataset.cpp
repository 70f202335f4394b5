#include "deepspeed/data/token_dataset.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"

namespace deepspeed::data {

std::shared_ptr<TokenDataset> TokenDataset::from_bin(const std::filesystem::path& path, int bytes_per_token,
                                                     const Options& options) {
  DS_CHECK(bytes_per_token == 2 || bytes_per_token == 4, "token ids take 2 or 4 bytes, not {}",
           bytes_per_token);
  std::shared_ptr<TokenDataset> made(new TokenDataset(path.string(), options));
  made->mapped_.emplace(path);
  made->bytes_per_token_ = bytes_per_token;
  const size_t bytes = made->mapped_->bytes().size();
  DS_CHECK(bytes % static_cast<size_t>(bytes_per_token) == 0,
           "'{}' holds {} bytes, no whole number of {}-byte token ids", path.string(), bytes,
           bytes_per_token);
  made->tokens_ = static_cast<int64_t>(bytes) / bytes_per_token;
  made->check();
  return made;
}

std::shared_ptr<TokenDataset> TokenDataset::from_ids(std::vector<int32_t> ids, const std::string& name,
                                                     const Options& options) {
  std::shared_ptr<TokenDataset> made(new TokenDataset(name, options));
  made->tokens_ = static_cast<int64_t>(ids.size());
  made->ids_ = std::move(ids);
  made->check();
  return made;
}

int64_t TokenDataset::token(int64_t position) const {
  if (!mapped_) return ids_[static_cast<size_t>(position)];
  const std::byte* at = mapped_->bytes().data() + position * bytes_per_token_;
  if (bytes_per_token_ == 2) {
    uint16_t id;
    std::memcpy(&id, at, sizeof id);
    return id;
  }
  uint32_t id;
  std::memcpy(&id, at, sizeof id);
  return id;
}

void TokenDataset::check() const {
  DS_CHECK(options_.sequence_length >= 2, "--seq-length must be at least 2, got {}",
           options_.sequence_length);
  DS_CHECK(size() > 0, "'{}' holds {} tokens, fewer than one sample of {}", name_, tokens_,
           options_.sequence_length);
  for (int64_t i = 0; i < tokens_; ++i)
    DS_CHECK(token(i) >= 0 && token(i) < options_.vocab,
             "'{}': token {} at position {} is outside the model's vocabulary of {}", name_, token(i), i,
             options_.vocab);
}

std::vector<at::Tensor> TokenDataset::get(int64_t index) const {
  at::Tensor sample = at::empty({options_.sequence_length}, at::kLong);
  auto* out = sample.data_ptr<int64_t>();
  for (int64_t i = 0; i < options_.sequence_length; ++i) out[i] = token(index * options_.sequence_length + i);
  return {sample};
}

namespace {

std::optional<int32_t> end_of_text(const text::Tokenizer& tokenizer) {
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>"})
    if (auto id = tokenizer.token_to_id(name)) return id;
  return std::nullopt;
}

std::vector<int32_t> tokenize_lines(const std::string& content, const std::string& where,
                                    const text::Tokenizer& tokenizer, const std::string& text_field) {
  const auto separator = end_of_text(tokenizer);
  std::vector<int32_t> ids;
  size_t line = 0;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    const std::string_view row(content.data() + begin, end - begin);
    begin = end + 1;
    ++line;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    nlohmann::json document = nlohmann::json::parse(row, nullptr, /*allow_exceptions=*/false);
    DS_CHECK(document.is_object(), "{}:{}: not a JSON object", where, line);
    DS_CHECK(document.contains(text_field) && document[text_field].is_string(),
             "{}:{}: no string field '{}' (choose another with --text-field)", where, line, text_field);
    const auto made = tokenizer.encode_ids(document[text_field].get_ref<const std::string&>());
    ids.insert(ids.end(), made.begin(), made.end());
    if (separator) ids.push_back(*separator);
  }
  return ids;
}

}  // namespace

std::vector<int32_t> tokenize_file(const std::filesystem::path& path, const text::Tokenizer& tokenizer,
                                   const std::string& text_field) {
  const std::string content = base::read_text_file(path, size_t{1} << 36);
  if (path.extension() == ".jsonl") return tokenize_lines(content, path.string(), tokenizer, text_field);
  return tokenizer.encode_ids(content);
}

}  // namespace deepspeed::data
