// Model folders whose linear layers are stored quantized: the integers and scales of ops::PackedWeight, which
// load into the same packed weights bit by bit.
//
// quantized.safetensors holds for a Hugging Face tensor NAME of shape [out, in] (of [in, out], as GPT-2's,
// the transpose) "NAME.codes" and "NAME.scales", bf16 [out, groups], of asymmetric ones "NAME.shifts" of the
// same kind. Codes are int8 [out, in]; for int4 uint8
// [out, ceil(in / 2)], q + 8, the first of two in the low half; for fp6 uint8 [out, ceil(6 in / 8)], six bits
// each from the lowest on. Tensors whose codes are int8 in a folder of fewer bits are of the scheme int8 with
// a scale a row. Its bias, if any, is there as it was, and all other tensors are in model.safetensors.
// config.json says so:
//   "quantization_config": {"quant_method": "deepspeed.cpp", "scheme": "int4", "group_size": 32,
//                           "asymmetric": true}
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/formats/safetensors.h"
#include "deepspeed/models/arch_spec.h"
#include "deepspeed/nn/packed_projection.h"

namespace deepspeed::models {

struct QuantizeOptions {
  ops::PackOptions weights;
  /// Says which linear layers stay as they are, by the tensor's name in the file; empty: none.
  std::function<bool(const std::string& name)> keep = {};
  /// Layers whose weights keep 8 bits where the scheme has fewer: "value", "down" or another of
  /// quantizable_layers(). A tensor that holds one of them does, a fused one of queries, keys and values,
  /// too.
  std::vector<std::string> eight_bits = {};
  /// Moments of the inputs of the tensor's layer, which then is rounded by ops::gptq_codes; undefined, or
  /// empty: every number is rounded to its nearest. Asked once for each tensor, in the files' order.
  std::function<at::Tensor(const std::string& name)> moments = {};
};

struct QuantizedSize {
  int64_t tensors = 0, before = 0, after = 0;  // bytes of those that were quantized
};

/// "qkv", "query", "key", "value", "output", "gate", "up", "down".
std::vector<std::string> quantizable_layers();

/// Error where they cannot be carried out, or `folder` is there already and not empty: what can be said
/// before any work.
void check_quantize_options(const QuantizeOptions& options, const std::filesystem::path& folder);

/// Writes `folder` from the Hugging Face folder `source`: the weights of attention, MLPs and experts
/// quantized, everything else and the tokenizer's files copied. Memory holds the quantized tensors and one
/// tensor of the source, and with moments what ops::gptq_codes takes. config.json comes last: without it the
/// folder is no model. Errors: as check_quantize_options, a source that is quantized already, folder =
/// source.
QuantizedSize quantize_files(const std::filesystem::path& source, const std::filesystem::path& folder,
                             const QuantizeOptions& options);

class QuantizedFiles {
 public:
  /// Whether the folder's config.json says that it is one.
  static bool present(const std::filesystem::path& folder);
  /// Errors: what config.json says of the quantization is not understood, a file is missing.
  QuantizedFiles(const std::filesystem::path& folder, ArchSpec spec);

  const ops::PackOptions& weights() const { return weights_; }
  /// What the folder holds of the Linear of that dotted name in a model of `spec`; nothing where its weight
  /// is not quantized. `in` are its inputs; the bias is read, too, if `biased`.
  std::optional<nn::StoredLinear> linear(const std::string& name, int64_t in, bool biased) const;
  /// Puts packed projections in the place of those Linears; the model's parameters need no memory. What is
  /// left of them (nn::list_parameters) is then to be read from the folder by WeightSource.
  /// `how`: whether they are fused, where they go and who is told of them; the rest is this folder's.
  nn::PackedLinears install(torch::nn::Module& model, nn::PackLinearsOptions how = {}) const;

 private:
  std::optional<std::string> stored_name(const std::string& parameter) const;
  at::Tensor bias(const std::string& parameter, const std::string& weight, int64_t rows) const;

  ArchSpec spec_;
  ops::PackOptions weights_;
  formats::SafetensorsFile codes_;
};

}  // namespace deepspeed::models
