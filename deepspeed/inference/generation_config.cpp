#include "deepspeed/inference/generation_config.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/schema.h"

namespace deepspeed::inference {
namespace {

using config::Json;

/// Today's spelling of every key that the schema knows, by each of its spellings.
const config::Field* field_of(const std::string& key) {
  static const auto table = generation_schema().table();
  return table->find(key);
}

void keep_known(const Json& from, Json& out) {
  for (const auto& [key, value] : from.items())
    if (const auto* field = field_of(key);
        field != nullptr && field->key == key && !value.is_null() && !out.contains(key))
      out[key] = value;
}

bool without_effect(const std::string& key) {
  const auto& keys = generation_keys_without_effect();
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

std::vector<int32_t> GenerationConfig::end_tokens() const {
  std::vector<int32_t> ends = stop_token_ids;
  if (!ignore_eos) ends.insert(ends.end(), eos_token_id.begin(), eos_token_id.end());
  return ends;
}

void GenerationConfig::check_tokens(int64_t vocabulary) const {
  auto check = [&](const char* key, int32_t id) {
    DS_CHECK(id < vocabulary, "{}: token {} is not in the vocabulary of {}", key, id, vocabulary);
  };
  for (const SequenceBias& one : sequence_bias)
    for (int32_t id : one.tokens) check("sequence_bias", id);
  for (const auto& [id, bias] : logit_bias) check("logit_bias", id);
  for (const auto& word : bad_words_ids)
    for (int32_t id : word) check("bad_words_ids", id);
  if (forced_bos_token_id) check("forced_bos_token_id", *forced_bos_token_id);
  for (int32_t id : forced_eos_token_id) check("forced_eos_token_id", id);
}

Json generation_defaults(const std::filesystem::path& model_folder) {
  Json out = Json::object();
  const auto own = model_folder / "generation_config.json";
  const bool has_own = std::filesystem::exists(own);
  const auto path = has_own ? own : model_folder / "config.json";
  const config::Document document = config::parse_text(base::read_text_file(path), path.string());
  keep_known(document.json, out);
  if (has_own) return out;
  for (const char* part : {"decoder", "generator", "text_config"})
    if (document.json.contains(part) && document.json[part].is_object()) {
      keep_known(document.json[part], out);
      break;
    }
  if (document.json.value("force_bos_token_to_be_generated", Json(false)) == true &&
      out.contains("bos_token_id"))
    out["forced_bos_token_id"] = out["bos_token_id"];
  return out;
}

GenerationConfig parse_generation(const Json& request, const Json& defaults, const std::string& name) {
  DS_CHECK(request.is_object(), "{}: what is asked of generation must be a JSON object", name);
  Json merged = defaults;
  for (const auto& [key, value] : request.items()) {
    if (without_effect(key)) continue;
    const config::Field* field = field_of(key);
    // Another spelling of the same key stays beside it only if the request has both, which is refused.
    if (field != nullptr && !request.contains(field->key)) merged.erase(field->key);
    if (!value.is_null() || field == nullptr) {
      merged[key] = value;
    } else {
      merged.erase(key);
      if (key == "top_k") merged[key] = 0;
    }
  }
  const config::Document document = config::from_json(std::move(merged), name);
  config::Warnings warnings;
  return generation_schema().parse(config::Node(document), warnings);
}

}  // namespace deepspeed::inference
