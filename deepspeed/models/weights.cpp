#include "deepspeed/models/weights.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::models {
namespace fs = std::filesystem;

formats::Dtype file_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return formats::Dtype::kF32;
    case at::kHalf:
      return formats::Dtype::kF16;
    case at::kBFloat16:
      return formats::Dtype::kBF16;
    case at::kDouble:
      return formats::Dtype::kF64;
    case at::kLong:
      return formats::Dtype::kI64;
    default:
      base::fail("tensors of type {} cannot be written to safetensors here", c10::toString(dtype));
  }
}

at::ScalarType tensor_dtype(formats::Dtype dtype, const std::string& where) {
  switch (dtype) {
    case formats::Dtype::kF32:
      return at::kFloat;
    case formats::Dtype::kF16:
      return at::kHalf;
    case formats::Dtype::kBF16:
      return at::kBFloat16;
    case formats::Dtype::kF64:
      return at::kDouble;
    default:
      base::fail("{} holds {} elements, weights must be floating point", where, formats::dtype_name(dtype));
  }
}

WeightSource::WeightSource(formats::SafetensorsModel files, ArchSpec spec)
    : files_(std::move(files)), spec_(std::move(spec)) {}

std::string WeightSource::file_name(const nn::ParameterSpec& spec) const {
  const std::string name = spec_.hugging_face_name(spec.name);
  if (files_.contains(name)) return name;
  if (name.rfind(spec_.name_prefix, 0) == 0) {
    const std::string bare = name.substr(spec_.name_prefix.size());
    if (files_.contains(bare)) return bare;
  }
  return name;  // info() below says what is missing and where
}

void WeightSource::check(const std::vector<nn::ParameterSpec>& specs) const {
  for (const auto& spec : specs) {
    const std::string name = file_name(spec);
    const auto& info = files_.info(name);
    DS_CHECK(info.shape == spec.shape, "{}: tensor '{}' has shape {}, the model's config.json asks for {}",
             files_.file_of(name).string(), name, formats::shape_text(info.shape),
             formats::shape_text(spec.shape));
    tensor_dtype(info.dtype, fmt::format("{}: tensor '{}'", files_.file_of(name).string(), name));
  }
}

void WeightSource::fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const {
  const std::string name = file_name(spec);
  const auto& info = files_.info(name);
  const auto bytes = files_.data(name);
  const size_t width = formats::dtype_size(info.dtype);
  const size_t first = static_cast<size_t>(begin) * width, count = static_cast<size_t>(slice.numel()) * width;
  DS_CHECK(first + count <= bytes.size(), "tensor '{}' ends before element {}", name, begin + slice.numel());
  if (count == 0) return;
  const auto dtype = tensor_dtype(info.dtype, name);
  // The mapping is aligned to bytes only.
  at::Tensor stored = at::empty({slice.numel()}, dtype);
  std::memcpy(stored.data_ptr(), bytes.data() + first, count);
  slice.copy_(stored);
}

namespace {

void export_config(const fs::path& folder, const ArchSpec& spec, const ExportOptions& options) {
  auto config = nlohmann::ordered_json::parse(base::read_text_file(options.source / "config.json"));
  config["model_type"] = spec.model_type;
  if (!config.contains("architectures"))
    config["architectures"] = {spec.model_type == "gpt2" ? "GPT2LMHeadModel" : "LlamaForCausalLM"};
  config.erase("torch_dtype");
  config["dtype"] = options.dtype == at::kBFloat16 ? "bfloat16"
                    : options.dtype == at::kHalf   ? "float16"
                                                   : "float32";
  base::write_text_file(folder / "config.json", config.dump(2) + "\n");
}

}  // namespace

void export_hugging_face(const fs::path& folder, const ArchSpec& spec, torch::nn::Module& model,
                         const ExportOptions& options) {
  at::NoGradGuard no_grad;
  fs::create_directories(folder);
  std::vector<at::Tensor> kept;
  std::vector<formats::TensorView> views;
  for (const auto& parameter : nn::list_parameters(model)) {
    kept.push_back(parameter.tensor.detach().to(options.dtype).contiguous());
    const at::Tensor& t = kept.back();
    views.push_back(
        {.name = spec.hugging_face_name(parameter.name),
         .dtype = file_dtype(options.dtype),
         .shape = parameter.shape,
         .data = {static_cast<const std::byte*>(t.const_data_ptr()), static_cast<size_t>(t.nbytes())}});
  }
  formats::write_safetensors_model(folder, views);
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"}) {
    const fs::path from = options.source / name;
    if (!fs::exists(from)) continue;
    if (fs::exists(folder / name) && fs::equivalent(from, folder / name)) continue;
    base::write_text_file(folder / name, base::read_text_file(from));
  }
  export_config(folder, spec, options);
}

}  // namespace deepspeed::models
