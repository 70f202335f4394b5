// What an encoder makes of texts: a vector a token, as transformers' feature-extraction pipeline gives them,
// or one a text, as sentence-transformers does.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/models/encoder.h"

namespace deepspeed::inference {

/// An encoder without a head.
class BareEncoder : public nn::BlockModule<BareEncoder> {
 public:
  explicit BareEncoder(models::ArchSpec spec);
  /// -> [B, T, hidden].
  at::Tensor compute(const models::EncoderInput& input);
  const models::ArchSpec& spec() const { return spec_; }

 private:
  models::ArchSpec spec_;
  std::shared_ptr<models::Encoder> encoder_;
};

/// How one vector comes of a text's tokens; kMeanSqrtLength divides their sum by the root of their number,
/// kWeightedMean counts the n-th token n times. Several are put one after the other.
enum class Pooling { kFirst, kMean, kMax, kMeanSqrtLength, kWeightedMean, kLast };
/// "cls", "mean", "max", "mean_sqrt_len", "weightedmean", "lasttoken". The Error lists them.
Pooling parse_pooling(const std::string& name);

/// What sentence-transformers' files beside a model ask for.
struct SentenceConfig {
  std::vector<Pooling> pooling;
  bool normalize = false;                // to length 1
  bool lower_case = false;               // texts, before they are tokenized
  std::optional<size_t> max_seq_length;  // longer texts are cut
};
/// Of modules.json, the pooling's config.json and sentence_bert_config.json; nothing where there is no
/// modules.json. Errors: modules that are not available yet.
std::optional<SentenceConfig> read_sentence_config(const std::filesystem::path& folder);

class FeatureExtraction {
 public:
  /// `source` has a tokenizer and outlives this object.
  FeatureExtraction(std::shared_ptr<BareEncoder> model, const ModelSource& source)
      : model_(std::move(model)), source_(source) {}
  /// [tokens, hidden] in fp32, special tokens included.
  at::Tensor tokens(const std::string& text) const;
  /// [texts, hidden times the number of poolings] in fp32.
  at::Tensor sentences(const std::vector<std::string>& texts, const SentenceConfig& config,
                       size_t batch_size = 8) const;

 private:
  std::shared_ptr<BareEncoder> model_;
  const ModelSource& source_;
};

}  // namespace deepspeed::inference
