#include "deepspeed/models/encoder_decoder.h"

#include <ATen/ops/full.h>

#include "deepspeed/base/error.h"

namespace deepspeed::models {

ArchSpec encoder_part(const ArchSpec& spec) {
  ArchSpec part = spec;
  part.bidirectional = true;
  part.decoder_layers = 0;
  part.stack = "encoder.";
  return part;
}

ArchSpec decoder_part(const ArchSpec& spec) {
  ArchSpec part = spec;
  part.layers = spec.decoder_layers;
  part.decoder_layers = 0;
  part.cross_attention = true;
  part.stack = "decoder.";
  return part;
}

EncoderDecoder::EncoderDecoder(ArchSpec spec, const nn::RngPtr& rng) : spec_(std::move(spec)) {
  DS_CHECK(spec_.is_encoder_decoder(), "a {} is no encoder with a decoder", spec_.model_type);
  embedding_ = register_module("embedding", token_table(spec_));
  encoder_ = register_module("encoder", std::make_shared<Encoder>(encoder_part(spec_), rng, embedding_));
  decoder_ = register_module("decoder", std::make_shared<Decoder>(decoder_part(spec_), rng, embedding_));
}

Memory EncoderDecoder::encode(const at::Tensor& ids, const std::optional<at::Tensor>& ends, bool keeps_keys) {
  const std::optional<at::Tensor> no_types;
  return Memory(encoder_->forward(ids, no_types, ends), ends, keeps_keys ? spec_.decoder_layers : 0);
}

at::Tensor EncoderDecoder::shifted(const at::Tensor& labels) const {
  at::Tensor ids = at::full(labels.sizes(), spec_.decoder_start, labels.options());
  const int64_t known = labels.size(1) - 1;
  ids.narrow(1, 1, known).copy_(labels.narrow(1, 0, known));
  return ids.masked_fill_(ids.eq(kIgnoredLabel), spec_.label_padding);
}

at::Tensor EncoderDecoder::logits(const at::Tensor& ids, const at::Tensor& answer_ids,
                                  const std::optional<at::Tensor>& ends) {
  Memory memory = encode(ids, ends);
  return decoder_->logits_of(decoder_->hidden_states(answer_ids, nullptr, std::nullopt, &memory));
}

at::Tensor EncoderDecoder::compute(const at::Tensor& ids, const at::Tensor& labels,
                                   const std::optional<at::Tensor>& ends) {
  DS_CHECK(labels.dim() == 2 && labels.size(0) == ids.size(0) && labels.size(1) > 0 &&
               labels.scalar_type() == at::kLong,
           "labels must be an int64 tensor [batch, length] with a row for every row of token ids");
  Memory memory = encode(ids, ends);
  return decoder_->loss_of(decoder_->hidden_states(shifted(labels), nullptr, std::nullopt, &memory), labels);
}

}  // namespace deepspeed::models
