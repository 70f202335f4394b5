// What an inference engine is asked for, under the names of DeepSpeed's DeepSpeedInferenceConfig. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/config/json.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::inference {

/// What weights are held as. kInt8 is what `quant` describes; kFp8 is e4m3, weights and what they multiply.
enum class WeightType { kFp32, kFp16, kBf16, kInt8, kFp8 };
/// "fp32", "fp16", "bf16", "int8", "fp8".
const char* weight_type_name(WeightType type);

struct TensorParallelConfig {
  bool enabled = true;
  int64_t tp_size = 1, tp_grain_size = 64;
  bool check_against_one_rank = false;  // sharding_check.h, once the weights are loaded
};

enum class QuantType { kSymmetric, kAsymmetric };
struct QuantTargetConfig {
  bool enabled = true;
  int64_t num_bits = 8, q_groups = 1;
  QuantType q_type = QuantType::kSymmetric;
};
/// Of weights of WeightType::kInt8 alone, as in DeepSpeed.
struct QuantConfig {
  bool enabled = true, qkv = true;
  QuantTargetConfig activation, weight;
};

struct InferenceConfig {
  WeightType dtype = WeightType::kFp16;
  bool replace_with_kernel_inject = false;
  TensorParallelConfig tensor_parallel;
  QuantConfig quant;
  /// Of it inference looks at the stage, offload_param and the thresholds of persistence.
  zero::ZeroConfig zero;
  std::optional<std::string> checkpoint;      // where the weights lie, in place of the model's folder
  std::vector<std::string> checkpoint_files;  // the same as several files, each with some of the weights
  std::string base_dir;                       // that `checkpoint` and these are relative to
  bool keep_module_on_host = false, set_empty_params = false, return_tuple = true;
  int64_t max_out_tokens = 1024, min_out_tokens = 1;  // of prompt and answer together
  std::vector<std::string> warnings;

  /// Whether weights stay on a disk and are read as they are used (ZeRO-Inference).
  bool streams() const { return zero.stage == 3 && zero.offload_param.device == zero::Home::kNvme; }
};

/// `source` is the path of a JSON file, its text, or that in base64; "" asks for nothing. `arguments` are a
/// program's own keys. Every mistake is an Error of one line: unknown keys (with the nearest name), wrong
/// types, a key given in both with different values, and what is "not available yet".
InferenceConfig parse_inference_config(std::string_view source,
                                       const config::Json& arguments = config::Json::object());
/// The same from a document that is already read.
InferenceConfig parse_inference_config(const config::Document& document);

/// Every key with its default, as DeepSpeed's function of that name gives them.
config::Json default_inference_config();

}  // namespace deepspeed::inference
