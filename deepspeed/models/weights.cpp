#include "deepspeed/models/weights.h"

#include <ATen/ops/from_blob.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <map>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/ops/parallel.h"

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
  const RowOrder order = arch.row_order(spec.name);
  shape[0] = file_rows(order, shape[0]);
  if (order == RowOrder::kExpertOfAll) shape.insert(shape.begin(), arch.experts.count);
  return shape;
}

std::vector<Run> runs_of(const ArchSpec& arch, const nn::ParameterSpec& spec, int64_t begin, int64_t count) {
  const RowOrder order = arch.row_order(spec.name);
  if (order == RowOrder::kSame) return {{begin, begin, count}};
  const int64_t rows = spec.shape[0];
  auto runs = file_runs(order, rows, spec.numel() / rows, arch.head_counts(), begin, count);
  for (Run& run : runs) run.file += arch.place_in_file(spec.name) * spec.numel();
  return runs;
}

// What older versions of transformers stored beside weights: causal masks, positions and angles, the same in
// every model, and a tied weight's second name; and what GGUF files say of angles (models/gguf_model.h).
bool is_buffer(const std::string& name) {
  for (const char* ending : {"position_ids", ".attn.bias", ".attn.masked_bias", ".attention.bias",
                             ".attention.masked_bias", "rotary_emb.inv_freq", "predictions.decoder.weight",
                             "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})
    if (name.ends_with(ending)) return true;
  return false;
}

// GGUF's shapes leave ones in front out, or do not.
bool same_shape(std::vector<int64_t> a, std::vector<int64_t> b, bool of_gguf) {
  if (of_gguf)
    for (auto* shape : {&a, &b})
      while (shape->size() > 1 && shape->front() == 1) shape->erase(shape->begin());
  return a == b;
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

WeightSource::WeightSource(formats::ModelFiles files, ArchSpec spec, uint64_t seed)
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
  base::fail("{} does not hold a {} as {} describes it: {}", files_.source().string(), spec_.model_type,
             files_.gguf_metadata() != nullptr ? "its metadata" : "config.json", problem);
}

const formats::MappedTensor* WeightSource::stored(const nn::ParameterSpec& spec) const {
  return is_missing_head(spec) ? nullptr : &files_.tensor(file_name(spec));
}

std::optional<FilePlace> WeightSource::in_place(const nn::ParameterSpec& spec) const {
  const formats::MappedTensor* tensor = stored(spec);
  if (tensor == nullptr || !tensor->file || !tensor->contiguous() || !tensor->dtype()) return std::nullopt;
  if (tensor_dtype(*tensor->dtype(), tensor->name) != spec.dtype || spec_.added(spec.name) != 0)
    return std::nullopt;
  const std::vector<Run> runs = runs_of(spec_, spec, 0, spec.numel());
  if (runs.size() != 1) return std::nullopt;
  const auto width = static_cast<int64_t>(c10::elementSize(spec.dtype));
  const int64_t offset = static_cast<int64_t>(tensor->offset) + runs[0].file * width;
  if (offset % width != 0) return std::nullopt;  // no kernel reads elements that begin within another
  return FilePlace{*tensor->file, offset};
}

void WeightSource::check(const std::vector<nn::ParameterSpec>& specs) const {
  check_names(specs);
  for (const auto& spec : specs) {
    if (is_missing_head(spec)) continue;
    const std::string name = file_name(spec);
    const auto& tensor = files_.tensor(name);
    const auto wanted = file_shape(spec_, spec);
    const bool of_gguf = files_.gguf_metadata() != nullptr;
    DS_CHECK(same_shape(tensor.shape, wanted, of_gguf),
             "{}: tensor '{}' has shape {}, the model's {} asks for {}", files_.file_of(name).string(), name,
             formats::shape_text(tensor.shape), of_gguf ? "metadata" : "config.json",
             formats::shape_text(wanted));
    if (const auto dtype = tensor.dtype())
      tensor_dtype(*dtype, fmt::format("{}: tensor '{}'", files_.file_of(name).string(), name));
  }
}

namespace {

// Elements of a tensor that are read, and converted, at once: few enough to stay in a processor's cache.
constexpr int64_t kChunk = int64_t{1} << 20;

// What the compute threads take at a time.
std::vector<Run> in_pieces(const std::vector<Run>& runs) {
  constexpr int64_t kPiece = int64_t{1} << 16;
  std::vector<Run> pieces;
  for (const Run& run : runs)
    for (int64_t done = 0; done < run.count; done += kPiece)
      pieces.push_back({run.ours + done, run.file + done, std::min(kPiece, run.count - done)});
  return pieces;
}

// Runs of a tensor to `out`, which holds our elements from `begin` on. On the compute threads.
void read_runs(const formats::MappedTensor& tensor, const std::vector<Run>& runs, int64_t begin,
               const at::Tensor& out) {
  const size_t width = c10::elementSize(out.scalar_type());
  auto* to = static_cast<std::byte*>(out.data_ptr());
  const std::vector<Run> pieces = in_pieces(runs);
  ops::parallel_ranges(static_cast<int64_t>(pieces.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Run& piece = pieces[static_cast<size_t>(i)];
      std::byte* at = to + static_cast<size_t>(piece.ours - begin) * width;
      const auto from = static_cast<size_t>(piece.file), count = static_cast<size_t>(piece.count);
      if (tensor.dtype())
        formats::read_elements(tensor, from, count, {at, count * width});
      else
        formats::read_floats(tensor, from, count, reinterpret_cast<float*>(at));
    }
  });
}

}  // namespace

at::Tensor WeightSource::whole_apart(const formats::MappedTensor& tensor, at::ScalarType type) const {
  const std::lock_guard lock(apart_->mutex);
  if (apart_->tensor != &tensor) {
    at::Tensor whole = at::empty({static_cast<int64_t>(tensor.elements())}, type);
    formats::read_elements(tensor, 0, tensor.elements(),
                           {static_cast<std::byte*>(whole.data_ptr()), whole.nbytes()});
    apart_->elements = std::move(whole);
    apart_->tensor = &tensor;
  }
  return apart_->elements;
}

void WeightSource::fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const {
  if (is_missing_head(spec)) return nn::InitSource(seed_).fill(spec, begin, std::move(slice));
  const auto& tensor = files_.tensor(file_name(spec));
  const auto type = tensor.dtype() ? tensor_dtype(*tensor.dtype(), tensor.name) : at::kFloat;
  const double added = spec_.added(spec.name);
  const at::Tensor apart = tensor.contiguous() ? at::Tensor() : whole_apart(tensor, type);
  const bool as_stored = type == slice.scalar_type() && added == 0;
  for (int64_t done = 0; done < slice.numel(); done += kChunk) {
    at::Tensor out = slice.narrow(0, done, std::min(kChunk, slice.numel() - done));
    const int64_t first = begin + done;
    const std::vector<Run> runs = runs_of(spec_, spec, first, out.numel());
    // The mapping is aligned to bytes only.
    at::Tensor stored = as_stored ? out : at::empty({out.numel()}, type);
    if (apart.defined()) {
      for (const Run& run : runs)
        stored.narrow(0, run.ours - first, run.count).copy_(apart.narrow(0, run.file, run.count));
    } else {
      read_runs(tensor, runs, first, stored);
    }
    if (!as_stored) out.copy_(added == 0 ? stored : stored.to(at::kFloat) - added);
  }
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

// A tensor of the files and the parameters of ours that it holds.
struct FileTensor {
  std::string name;
  std::vector<nn::ParameterSpec> parameters;
};

// In the model's order.
std::vector<FileTensor> file_tensors(const ArchSpec& arch, torch::nn::Module& model) {
  std::vector<FileTensor> files;
  std::map<std::string, size_t> number_of;
  for (auto& parameter : nn::list_parameters(model)) {
    const std::string name = arch.hugging_face_name(parameter.name);
    const auto [number, is_new] = number_of.emplace(name, files.size());
    if (is_new) files.push_back({name, {}});
    files[number->second].parameters.push_back(std::move(parameter));
  }
  return files;
}

// Every parameter's elements to their places, one parameter after the other.
void assemble(const ArchSpec& arch, const FileTensor& file, const ExportOptions& options,
              std::span<std::byte> out) {
  if (out.empty()) return;
  const auto numel = static_cast<int64_t>(out.size() / c10::elementSize(options.dtype));
  const at::Tensor whole = at::from_blob(out.data(), {numel}, at::TensorOptions(options.dtype));
  for (const auto& parameter : file.parameters) {
    const at::Tensor ours =
        (options.values ? options.values(parameter.tensor) : parameter.tensor.detach()).cpu().reshape({-1});
    for (const Run& run : runs_of(arch, parameter, 0, parameter.numel()))
      whole.narrow(0, run.file, run.count).copy_(ours.narrow(0, run.ours, run.count));
  }
}

}  // namespace

void export_hugging_face(const fs::path& folder, const ArchSpec& spec, torch::nn::Module& model,
                         const ExportOptions& options) {
  at::NoGradGuard no_grad;
  fs::create_directories(folder);
  const std::vector<FileTensor> files = file_tensors(spec, model);
  std::vector<formats::TensorView> views;
  for (const FileTensor& file : files)
    views.push_back({.name = file.name,
                     .dtype = file_dtype(options.dtype),
                     .shape = file_shape(spec, file.parameters.front()),
                     .data = {},
                     .read = [&](std::span<std::byte> out) { assemble(spec, file, options, out); }});
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
