#include "deepspeed/inference/tasks/feature_extraction.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/config/convert.h"
#include "deepspeed/inference/tasks/encoder_batch.h"
#include "deepspeed/models/json_file.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;

constexpr std::pair<const char*, Pooling> kPoolings[] = {{"cls", Pooling::kFirst},
                                                         {"max", Pooling::kMax},
                                                         {"mean", Pooling::kMean},
                                                         {"mean_sqrt_len", Pooling::kMeanSqrtLength},
                                                         {"weightedmean", Pooling::kWeightedMean},
                                                         {"lasttoken", Pooling::kLast}};
// The keys of 1_Pooling/config.json, in sentence-transformers' order of the parts.
constexpr std::pair<const char*, Pooling> kPoolingKeys[] = {
    {"pooling_mode_cls_token", Pooling::kFirst},
    {"pooling_mode_max_tokens", Pooling::kMax},
    {"pooling_mode_mean_tokens", Pooling::kMean},
    {"pooling_mode_mean_sqrt_len_tokens", Pooling::kMeanSqrtLength},
    {"pooling_mode_weightedmean_tokens", Pooling::kWeightedMean},
    {"pooling_mode_lasttoken", Pooling::kLast}};

Json read_json(const fs::path& path) { return models::read_json_file<Json>(path, size_t{1} << 20); }

std::vector<Pooling> read_poolings(const fs::path& path) {
  const Json json = read_json(path);
  std::vector<Pooling> out;
  for (const auto& [key, pooling] : kPoolingKeys)
    if (json.value(key, Json(false)) == true) out.push_back(pooling);
  if (json.contains("pooling_mode") && json["pooling_mode"].is_string())
    out = {parse_pooling(json["pooling_mode"].get<std::string>())};
  DS_CHECK(!out.empty(), "{}: no pooling is switched on", path.string());
  return out;
}

// hidden [T, H] of one text's tokens.
at::Tensor pooled(const at::Tensor& hidden, Pooling pooling) {
  const int64_t count = hidden.size(0);
  switch (pooling) {
    case Pooling::kFirst:
      return hidden[0];
    case Pooling::kLast:
      return hidden[count - 1];
    case Pooling::kMax:
      return std::get<0>(hidden.max(0));
    case Pooling::kMean:
      return hidden.mean(0);
    case Pooling::kMeanSqrtLength:
      return hidden.sum(0) / std::sqrt(static_cast<double>(count));
    case Pooling::kWeightedMean: {
      const at::Tensor weights = at::arange(1, count + 1, hidden.options()).unsqueeze(1);
      return (hidden * weights).sum(0) / weights.sum();
    }
  }
  return hidden[0];
}

}  // namespace

BareEncoder::BareEncoder(models::ArchSpec spec) : spec_(std::move(spec)) {
  encoder_ = register_module("encoder", std::make_shared<models::Encoder>(spec_, nullptr));
}

at::Tensor BareEncoder::compute(const models::EncoderInput& input) {
  return encoder_->forward(input.ids, input.token_types, input.ends);
}

Pooling parse_pooling(const std::string& name) {
  std::string known;
  for (const auto& [spelling, pooling] : kPoolings) {
    if (name == spelling) return pooling;
    known += (known.empty() ? "" : ", ") + std::string(spelling);
  }
  base::fail("no pooling '{}': there are {}", name, known);
}

std::optional<SentenceConfig> read_sentence_config(const fs::path& folder) {
  if (!fs::is_directory(folder) || !fs::exists(folder / "modules.json")) return std::nullopt;
  const Json modules = read_json(folder / "modules.json");
  DS_CHECK(modules.is_array(), "{}: must hold a list of modules", (folder / "modules.json").string());
  SentenceConfig out;
  for (const Json& module : modules) {
    const std::string type = module.value("type", ""), path = module.value("path", "");
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling")
      out.pooling = read_poolings(folder / path / "config.json");
    else if (kind == "Normalize")
      out.normalize = true;
    else
      DS_CHECK(kind == "Transformer",
               "{}: the module {} is not available yet (Transformer, Pooling, Normalize)",
               (folder / "modules.json").string(), formats::shown(type));
  }
  if (out.pooling.empty()) out.pooling = {Pooling::kMean};
  if (const fs::path path = folder / "sentence_bert_config.json"; fs::exists(path)) {
    const Json json = read_json(path);
    if (json.contains("max_seq_length") && json["max_seq_length"].is_number_unsigned())
      out.max_seq_length = json["max_seq_length"].get<size_t>();
    out.lower_case = json.value("do_lower_case", Json(false)) == true;
  }
  return out;
}

at::Tensor FeatureExtraction::tokens(const std::string& text) const {
  const at::NoGradGuard no_grad;
  const text::Encoding encoding = source_.tokenizer->encode(text);
  return to_host(model_->forward(encoder_batch(encoding, model_->spec(), nn::device_of(*model_)))[0]);
}

at::Tensor FeatureExtraction::sentences(const std::vector<std::string>& texts, const SentenceConfig& config,
                                        size_t batch_size) const {
  const at::NoGradGuard no_grad;
  text::EncodeOptions encode;
  encode.truncation = text::Truncation{
      .max_length = std::min(config.max_seq_length.value_or(source_.longest), source_.longest)};
  std::vector<text::Encoding> encodings;
  for (const std::string& text : texts)
    encodings.push_back(source_.tokenizer->encode(config.lower_case ? config::lower(text) : text, encode));
  std::vector<at::Tensor> out;
  for (size_t begin = 0; begin < encodings.size(); begin += batch_size) {
    std::vector<const text::Encoding*> rows;
    for (size_t i = begin; i < std::min(begin + batch_size, encodings.size()); ++i)
      rows.push_back(&encodings[i]);
    const at::Tensor hidden =
        to_host(model_->forward(encoder_batch(rows, model_->spec(), nn::device_of(*model_))));
    for (size_t r = 0; r < rows.size(); ++r) {
      const at::Tensor own =
          hidden[static_cast<int64_t>(r)].narrow(0, 0, static_cast<int64_t>(rows[r]->size()));
      std::vector<at::Tensor> parts;
      for (const Pooling pooling : config.pooling) parts.push_back(pooled(own, pooling));
      out.push_back(at::cat(parts));
    }
  }
  at::Tensor vectors = at::stack(out);
  if (config.normalize) vectors = vectors / vectors.norm(2, 1, true).clamp_min(1e-12);
  return vectors;
}

}  // namespace deepspeed::inference
