// From a model of any format to a folder of packed weights: what ds_quantize does.
#pragma once

#include <filesystem>
#include <string>

#include "deepspeed/models/quantized_files.h"

namespace deepspeed::inference {

struct QuantizeModelOptions {
  models::QuantizeOptions files;  // moments are not looked at
  std::filesystem::path
      calibration{};                 // a text, or .bin of token ids: weights are rounded by GPTQ (ops/gptq.h)
  int64_t calibration_windows = 32;  // of 512 tokens, at most
};

/// `model`: a folder, ORG/NAME in the Hugging Face cache, or a GGUF file of a decoder, which is first written
/// as a folder beside `folder` (in bf16; gone in the end). Calibration holds the model in fp32. Errors as
/// models::quantize_files, and models that are no decoders where there is a calibration text.
models::QuantizedSize quantize_model(const std::string& model, const std::filesystem::path& folder,
                                     const QuantizeModelOptions& options);

}  // namespace deepspeed::inference
