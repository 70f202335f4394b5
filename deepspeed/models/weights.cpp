#include "deepspeed/models/weights.h"

#include <ATen/ops/from_blob.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

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

// What older versions of transformers stored beside weights: causal masks, positions and angles, the same in
// every model, and a tied weight's second name.
bool is_buffer(const std::string& name) {
  for (const char* ending : {"position_ids", ".attn.bias", ".attn.masked_bias", ".attention.bias",
                             ".attention.masked_bias", "rotary_emb.inv_freq", "predictions.decoder.weight"})
    if (name.ends_with(ending)) return true;
  return false;
}

// The first few, and how many there are.
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 6;
  const std::vector<std::string> first(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kNamed)));
  return fmt::format("{}{}", fmt::join(first, ", "),
                     names.size() > kNamed ? fmt::format(" and {} more", names.size() - kNamed) : "");
}

}  // namespace

WeightSource::WeightSource(formats::SafetensorsModel files, ArchSpec spec, uint64_t seed)
    : files_(std::move(files)), spec_(std::move(spec)), seed_(seed) {}

std::vector<std::string> WeightSource::possible_names(const nn::ParameterSpec& spec) const {
  std::vector<std::string> names = {spec_.hugging_face_name(spec.name)};
  for (const auto& [ending, older] : spec_.older_endings)
    if (names[0].ends_with(ending))
      names.push_back(names[0].substr(0, names[0].size() - ending.size()) + older);
  for (size_t i = 0, count = names.size(); i < count; ++i)
    if (names[i].starts_with(spec_.name_prefix)) names.push_back(names[i].substr(spec_.name_prefix.size()));
  return names;
}

std::string WeightSource::file_name(const nn::ParameterSpec& spec) const {
  const auto names = possible_names(spec);
  for (const std::string& name : names)
    if (files_.contains(name)) return name;
  return names[0];  // info() says that it is missing, and where
}

bool WeightSource::is_missing_head(const nn::ParameterSpec& spec) const {
  return spec_.is_head(spec.name) && !files_.contains(file_name(spec));
}

std::vector<std::string> WeightSource::initialised(const std::vector<nn::ParameterSpec>& specs) const {
  std::vector<std::string> names;
  for (const auto& spec : specs)
    if (is_missing_head(spec)) names.push_back(spec_.hugging_face_name(spec.name));
  return names;
}

std::vector<std::string> WeightSource::unused(const std::vector<nn::ParameterSpec>& specs) const {
  std::set<std::string> known;
  for (const auto& spec : specs)
    for (const auto& name : possible_names(spec)) known.insert(name);
  std::vector<std::string> names;
  for (const std::string& name : files_.names())
    if (!known.contains(name) && !is_buffer(name)) names.push_back(name);
  return names;
}

void WeightSource::check_names(const std::vector<nn::ParameterSpec>& specs) const {
  std::vector<std::string> missing, unexpected;
  for (const auto& spec : specs)
    if (!is_missing_head(spec) && !files_.contains(file_name(spec)))
      missing.push_back(spec_.hugging_face_name(spec.name));
  for (const auto& name : unused(specs))
    if (!spec_.is_of_a_head(name) && !spec_.is_of_a_head(spec_.name_prefix + name))
      unexpected.push_back(name);
  if (missing.empty() && unexpected.empty()) return;
  std::string problem;
  if (!missing.empty()) problem = "missing " + some_of(missing);
  if (!unexpected.empty()) problem += (problem.empty() ? "" : "; ") + ("unexpected " + some_of(unexpected));
  const auto names = files_.names();
  base::fail("{} does not hold a {} as config.json describes it: {}",
             names.empty() ? "the model folder" : files_.file_of(names[0]).parent_path().string(),
             spec_.model_type, problem);
}

void WeightSource::check(const std::vector<nn::ParameterSpec>& specs) const {
  check_names(specs);
  for (const auto& spec : specs) {
    if (is_missing_head(spec)) continue;
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
  if (is_missing_head(spec)) return nn::InitSource(seed_).fill(spec, begin, std::move(slice));
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
  config["architectures"] = {spec.architecture};
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
