#include "deepspeed/inference/tasks/fill_mask.h"

#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/tasks/encoder_batch.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {

FillMask::FillMask(std::shared_ptr<models::MaskedLanguageModel> model, const ModelSource& source)
    : model_(std::move(model)), source_(source) {
  const auto mask = source.special_token("mask_token");
  DS_CHECK(mask.has_value(), "{}: the tokenizer names no mask_token", source.path.string());
  mask_ = *mask;
  mask_text_ = source.tokenizer->id_to_token(mask_);
}

std::vector<int32_t> FillMask::target_ids(const std::vector<std::string>& targets) const {
  std::vector<int32_t> ids;
  for (const std::string& target : targets) {
    auto id = source_.tokenizer->token_to_id(target);
    if (!id) {
      const auto tokens = source_.tokenizer->encode(target, false).ids;
      DS_CHECK(!tokens.empty(), "the target '{}' has no token", target);
      id = tokens[0];
    }
    if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  return ids;
}

std::vector<std::vector<FilledToken>> FillMask::operator()(const std::string& text,
                                                           const Options& options) const {
  const at::NoGradGuard no_grad;
  const text::Tokenizer& tokenizer = *source_.tokenizer;
  const text::Encoding encoding = tokenizer.encode(text);
  std::vector<size_t> places;
  for (size_t i = 0; i < encoding.size(); ++i)
    if (encoding.ids[i] == mask_) places.push_back(i);
  DS_CHECK(options.top_k > 0, "top_k must be at least 1");
  DS_CHECK(!places.empty(), "there is no {} in the text \"{}\"", mask_text_, formats::shown(text));
  const std::vector<int32_t> targets = target_ids(options.targets);
  const auto padding = source_.special_token("pad_token");
  const at::Tensor logits =
      to_host(model_->logits(encoder_batch(encoding, model_->spec(), nn::device_of(*model_)))[0]);
  const auto vocabulary = static_cast<size_t>(logits.size(1));
  std::vector<std::vector<FilledToken>> out;
  for (const size_t place : places) {
    const std::vector<float> scores =
        softmax({logits.const_data_ptr<float>() + place * vocabulary, vocabulary});
    std::vector<int32_t> order = targets;
    if (order.empty()) {
      order.resize(vocabulary);
      std::iota(order.begin(), order.end(), 0);
    }
    const auto count = static_cast<std::ptrdiff_t>(std::min(options.top_k, order.size()));
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
      const float left = scores[static_cast<size_t>(a)], right = scores[static_cast<size_t>(b)];
      return left != right ? left > right : a < b;
    });
    auto& row = out.emplace_back();
    for (auto id = order.begin(); id != order.begin() + count; ++id) {
      std::vector<int32_t> ids = encoding.ids;
      ids[place] = *id;
      if (padding) std::erase(ids, *padding);
      row.push_back({.score = scores[static_cast<size_t>(*id)],
                     .token = *id,
                     .text = tokenizer.decode(std::vector{*id}, false),
                     .sequence = tokenizer.decode(ids, places.size() == 1)});
    }
  }
  return out;
}

}  // namespace deepspeed::inference
