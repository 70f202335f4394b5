// An encoder that reads a text and a decoder that answers it: T5 (Raffel et al. 2020) and its kin. Both are
// the stacks of encoder.h and decoder.h, over one table of tokens.
#pragma once

#include <memory>
#include <optional>

#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder.h"

namespace deepspeed::models {

/// The spec of one of the two stacks.
ArchSpec encoder_part(const ArchSpec& spec);
ArchSpec decoder_part(const ArchSpec& spec);

/// Parameters are unmaterialized after construction (nn/materializer.h). The input is ids [B, S] int64 in [0,
/// vocab), whose rows end in padding from `ends` (int32 [B]) on.
class EncoderDecoder : public nn::BlockModule<EncoderDecoder> {
 public:
  /// `rng` is the random state of dropout; may be null when the spec drops nothing. Error: a spec of another
  /// kind of model.
  EncoderDecoder(ArchSpec spec, const nn::RngPtr& rng);

  /// The mean cross-entropy of labels [B, T], -100 ignored, as answers to the ids; the decoder reads them
  /// shifted by one, after spec.decoder_start. Scalar fp32.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& ends = std::nullopt);
  /// What the decoder then attends to; with `keeps_keys` for several calls of it.
  Memory encode(const at::Tensor& ids, const std::optional<at::Tensor>& ends = std::nullopt,
                bool keeps_keys = false);
  /// The scores [B, T, vocab] after each of the answer's ids [B, T] so far, of which the first is
  /// spec.decoder_start.
  at::Tensor logits(const at::Tensor& ids, const at::Tensor& answer_ids,
                    const std::optional<at::Tensor>& ends = std::nullopt);
  /// What the decoder reads where it is to give these labels.
  at::Tensor shifted(const at::Tensor& labels) const;

  Decoder& decoder() { return *decoder_; }
  const ArchSpec& spec() const { return spec_; }

 private:
  ArchSpec spec_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Decoder> decoder_;
};

}  // namespace deepspeed::models
