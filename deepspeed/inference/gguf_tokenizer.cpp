#include "deepspeed/inference/gguf_tokenizer.h"

#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/text/vocabulary_tokenizer.h"

namespace deepspeed::inference {
namespace {

constexpr const char* kPrefix = "tokenizer.ggml.";

std::optional<int32_t> token_at(const formats::GgufMetadata& metadata, const std::string& key) {
  if (!metadata.contains(kPrefix + key)) return std::nullopt;
  const int64_t id = metadata.integer(kPrefix + key);
  DS_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), "{}{} is {}, which is no token", kPrefix,
           key, id);
  return static_cast<int32_t>(id);
}

std::optional<bool> flag_at(const formats::GgufMetadata& metadata, const std::string& key) {
  if (!metadata.contains(kPrefix + key)) return std::nullopt;
  return metadata.boolean(kPrefix + key);
}

// Bytes, whichever of the two types of numbers they are.
std::string bytes_at(const formats::GgufMetadata& metadata, const std::string& key) {
  std::string bytes;
  for (const int64_t byte : metadata.integers(key)) bytes += static_cast<char>(byte & 255);
  return bytes;
}

}  // namespace

std::optional<text::Tokenizer> gguf_tokenizer(const formats::GgufMetadata& metadata,
                                              const std::string& name) {
  const std::string prefix = kPrefix;
  if (!metadata.contains(prefix + "tokens")) return std::nullopt;
  text::TokenizerArrays arrays;
  arrays.name = name;
  arrays.model = std::string(metadata.text(prefix + "model"));
  if (metadata.contains(prefix + "pre")) arrays.pre = std::string(metadata.text(prefix + "pre"));
  for (const auto token : metadata.texts(prefix + "tokens")) arrays.tokens.emplace_back(token);
  if (metadata.contains(prefix + "scores"))
    for (const double score : metadata.numbers(prefix + "scores"))
      arrays.scores.push_back(static_cast<float>(score));
  if (metadata.contains(prefix + "token_type"))
    for (const int64_t type : metadata.integers(prefix + "token_type"))
      arrays.types.push_back(static_cast<int32_t>(type));
  if (metadata.contains(prefix + "merges"))
    for (const auto merge : metadata.texts(prefix + "merges")) arrays.merges.emplace_back(merge);
  if (metadata.contains(prefix + "precompiled_charsmap"))
    arrays.precompiled_charsmap = bytes_at(metadata, prefix + "precompiled_charsmap");
  arrays.bos = token_at(metadata, "bos_token_id");
  arrays.eos = token_at(metadata, "eos_token_id");
  arrays.unknown = token_at(metadata, "unknown_token_id");
  arrays.separator = token_at(metadata, "seperator_token_id");  // its name in files
  arrays.add_bos = flag_at(metadata, "add_bos_token");
  arrays.add_eos = flag_at(metadata, "add_eos_token");
  arrays.add_separator = flag_at(metadata, "add_sep_token");
  arrays.add_space_prefix = flag_at(metadata, "add_space_prefix");
  arrays.remove_extra_whitespaces = flag_at(metadata, "remove_extra_whitespaces");
  return text::make_tokenizer(std::move(arrays));
}

std::optional<text::ChatTemplate> gguf_chat_template(const formats::GgufMetadata& metadata,
                                                     const std::string& name) {
  constexpr const char* kKey = "tokenizer.chat_template";
  if (!metadata.contains(kKey)) return std::nullopt;
  return text::ChatTemplate::from_source(metadata.text(kKey), name + ": " + kKey);
}

config::Json gguf_special_tokens(const formats::GgufMetadata& metadata) {
  config::Json out = config::Json::object();
  if (!metadata.contains(std::string(kPrefix) + "tokens")) return out;
  const auto tokens = metadata.texts(std::string(kPrefix) + "tokens");
  for (const auto& [key, name] :
       {std::pair("bos_token_id", "bos_token"), std::pair("eos_token_id", "eos_token"),
        std::pair("unknown_token_id", "unk_token"), std::pair("padding_token_id", "pad_token")})
    if (const auto id = token_at(metadata, key); id && *id >= 0 && static_cast<size_t>(*id) < tokens.size())
      out[name] = std::string(tokens[static_cast<size_t>(*id)]);
  return out;
}

config::Json gguf_generation_defaults(const formats::GgufMetadata& metadata) {
  config::Json out = config::Json::object();
  if (const auto bos = token_at(metadata, "bos_token_id")) out["bos_token_id"] = *bos;
  config::Json ends = config::Json::array();
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (const auto end = token_at(metadata, key)) ends.push_back(*end);
  if (!ends.empty()) out["eos_token_id"] = std::move(ends);
  return out;
}

std::optional<std::string> gguf_pooling(const formats::GgufMetadata& metadata) {
  const std::string key = std::string(metadata.text("general.architecture")) + ".pooling_type";
  const int64_t type = metadata.contains(key) ? metadata.integer(key) : 0;
  switch (type) {
    case 0:  // none
    case 4:  // a score of the whole, by the classifier
      return std::nullopt;
    case 1:
      return "mean";
    case 2:
      return "cls";
    case 3:
      return "lasttoken";
    default:
      base::fail("{} is {}, which is not available yet (0 to 4)", key, type);
  }
}

}  // namespace deepspeed::inference
