#include "deepspeed/models/weights.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cstring>
#include <map>

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

namespace {

std::vector<int64_t> file_shape(const ArchSpec& arch, const nn::ParameterSpec& spec) {
  std::vector<int64_t> shape = spec.shape;
  shape[0] = file_rows(arch.row_order(spec.name), shape[0]);
  return shape;
}

std::vector<Run> runs_of(const ArchSpec& arch, const nn::ParameterSpec& spec, int64_t begin, int64_t count) {
  const RowOrder order = arch.row_order(spec.name);
  if (order == RowOrder::kSame) return {{begin, begin, count}};
  const int64_t rows = spec.shape[0];
  return file_runs(order, rows, spec.numel() / rows, arch.head_counts(), begin, count);
}

}  // namespace

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
    const auto wanted = file_shape(spec_, spec);
    DS_CHECK(info.shape == wanted, "{}: tensor '{}' has shape {}, the model's config.json asks for {}",
             files_.file_of(name).string(), name, formats::shape_text(info.shape),
             formats::shape_text(wanted));
    tensor_dtype(info.dtype, fmt::format("{}: tensor '{}'", files_.file_of(name).string(), name));
  }
}

void WeightSource::fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const {
  const std::string name = file_name(spec);
  const auto& info = files_.info(name);
  const auto bytes = files_.data(name);
  const size_t width = formats::dtype_size(info.dtype);
  if (slice.numel() == 0) return;
  const auto dtype = tensor_dtype(info.dtype, name);
  // The mapping is aligned to bytes only.
  at::Tensor stored = at::empty({slice.numel()}, dtype);
  auto* out = static_cast<std::byte*>(stored.data_ptr());
  for (const Run& run : runs_of(spec_, spec, begin, slice.numel())) {
    const size_t first = static_cast<size_t>(run.file) * width,
                 count = static_cast<size_t>(run.count) * width;
    DS_CHECK(first + count <= bytes.size(), "tensor '{}' ends before element {}", name, run.file + run.count);
    std::memcpy(out + static_cast<size_t>(run.ours - begin) * width, bytes.data() + first, count);
  }
  slice.copy_(stored);
}

namespace {

void export_config(const fs::path& folder, const ArchSpec& spec, const ExportOptions& options) {
  auto config = nlohmann::ordered_json::parse(base::read_text_file(options.source / "config.json"));
  config["model_type"] = spec.model_type;
  if (!config.contains("architectures")) config["architectures"] = {spec.architecture};
  config.erase("torch_dtype");
  config["dtype"] = options.dtype == at::kBFloat16 ? "bfloat16"
                    : options.dtype == at::kHalf   ? "float16"
                                                   : "float32";
  base::write_text_file(folder / "config.json", config.dump(2) + "\n");
}

// The tensors of the files, whole; a tensor that holds several parameters is written by each.
struct FileTensors {
  std::vector<std::string> names;  // in the model's order
  std::map<std::string, at::Tensor> tensors;
};

FileTensors gather(const ArchSpec& arch, torch::nn::Module& model, at::ScalarType dtype) {
  FileTensors files;
  for (const auto& parameter : nn::list_parameters(model)) {
    const std::string name = arch.hugging_face_name(parameter.name);
    const at::Tensor ours = parameter.tensor.detach().to(dtype).contiguous();
    at::Tensor& file = files.tensors[name];
    if (!file.defined()) files.names.push_back(name);
    if (arch.row_order(parameter.name) == RowOrder::kSame) {
      file = ours;
      continue;
    }
    if (!file.defined()) file = at::empty(file_shape(arch, parameter), ours.options());
    for (const Run& run : runs_of(arch, parameter, 0, parameter.numel()))
      file.view({-1}).narrow(0, run.file, run.count).copy_(ours.view({-1}).narrow(0, run.ours, run.count));
  }
  return files;
}

}  // namespace

void export_hugging_face(const fs::path& folder, const ArchSpec& spec, torch::nn::Module& model,
                         const ExportOptions& options) {
  at::NoGradGuard no_grad;
  fs::create_directories(folder);
  const FileTensors files = gather(spec, model, options.dtype);
  std::vector<formats::TensorView> views;
  for (const std::string& name : files.names) {
    const at::Tensor& t = files.tensors.at(name);
    views.push_back(
        {.name = name,
         .dtype = file_dtype(options.dtype),
         .shape = t.sizes().vec(),
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
