#include "deepspeed/models/quantized_files.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/gguf.h"
#include "deepspeed/formats/model_files.h"
#include "deepspeed/models/code_bits.h"
#include "deepspeed/ops/gptq.h"

namespace deepspeed::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ops::PackedScheme;

constexpr const char *kMethod = "deepspeed.cpp", *kFile = "quantized.safetensors";
constexpr std::array<std::string_view, 8> kLayers = {"qkv",    "query", "key", "value",
                                                     "output", "gate",  "up",  "down"};

ordered_json read_json(const fs::path& path) {
  try {
    return ordered_json::parse(base::read_text_file(path));
  } catch (const ordered_json::exception& error) {
    base::fail("{}: {}", path.string(), error.what());
  }
}

const ops::PackOptions kEightBits{.scheme = PackedScheme::kInt8, .group = 0};

int64_t code_bits(PackedScheme scheme) {
  return scheme == PackedScheme::kInt4 ? 4 : scheme == PackedScheme::kFp6 ? 6 : 8;
}

// Whether a parameter of ours is the weight of one of the layers that are quantized.
bool is_quantizable(std::string_view ours) {
  constexpr std::string_view kWeight = ".weight";
  if (!ours.ends_with(kWeight) || ours.find("layers.") == std::string_view::npos) return false;
  ours.remove_suffix(kWeight.size());
  const std::string_view last = ours.substr(ours.rfind('.') + 1);
  return std::find(kLayers.begin(), kLayers.end(), last) != kLayers.end();
}

// Whether `name` is `pattern` with whole numbers for its "{}".
bool matches(std::string_view pattern, std::string_view name) {
  while (!pattern.empty() && !name.empty()) {
    if (pattern.starts_with("{}")) {
      const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
      if (digits == 0) return false;
      pattern.remove_prefix(2);
      name.remove_prefix(digits);
    } else {
      if (pattern[0] != name[0]) return false;
      pattern.remove_prefix(1);
      name.remove_prefix(1);
    }
  }
  return pattern.empty() && name.empty();
}

// Whether the tensor holds weights of such layers; with `parts`, of one of those.
bool is_linear_weight(const ArchSpec& spec, const std::string& name,
                      const std::vector<std::string>* parts = nullptr) {
  const auto wanted = [&](std::string_view ours) {
    return is_quantizable(ours) &&
           (parts == nullptr || std::any_of(parts->begin(), parts->end(), [&](const std::string& part) {
              const bool of_qkv = part == "query" || part == "key" || part == "value";
              return ours.ends_with("." + part + ".weight") || (of_qkv && ours.ends_with(".qkv.weight"));
            }));
  };
  return std::any_of(spec.names.begin(), spec.names.end(), [&](const WeightName& row) {
    const std::string full = spec.full_name(row);
    const bool bare = !spec.name_prefix.empty() && full.starts_with(spec.name_prefix) &&
                      matches(full.substr(spec.name_prefix.size()), name);
    // The tables name a layer's parameters with places for numbers.
    return wanted(row.ours) && (matches(full, name) || bare);
  });
}

at::Tensor read_floats(const formats::MappedTensor& tensor) {
  const at::Tensor out = at::empty(tensor.shape, at::kFloat);
  formats::read_floats(tensor, 0, tensor.elements(), out.data_ptr<float>());
  return out;
}

// The codes of a tensor of the files, as [out, in].
ops::WeightCodes codes_of(const formats::MappedTensor& tensor, const QuantizeOptions& options,
                          const ops::PackOptions& weights, ops::WeightOrder order) {
  const at::Tensor weight = read_floats(tensor);
  if (const at::Tensor moments = options.moments ? options.moments(tensor.name) : at::Tensor();
      moments.defined())
    return ops::gptq_codes(order == ops::WeightOrder::kOutIn ? weight : weight.t().contiguous(), moments,
                           weights);
  return ops::PackedWeight::pack(weight, weights, order).codes();
}

std::span<const std::byte> bytes_of(const at::Tensor& t) {
  return {static_cast<const std::byte*>(t.const_data_ptr()), t.nbytes()};
}

formats::TensorView dense_view(const formats::MappedTensor& tensor, const std::string& where) {
  const auto dtype = tensor.dtype();
  DS_CHECK(dtype.has_value(), "{}: '{}' is quantized already; quantize from a model's own weights", where,
           tensor.name);
  return {.name = tensor.name,
          .dtype = *dtype,
          .shape = tensor.shape,
          .data = {},
          .read = [&tensor](std::span<std::byte> out) {
            formats::read_elements(tensor, 0, tensor.elements(), out);
          }};
}

void copy_other_files(const fs::path& source, const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
    const bool weights = kind == ".safetensors" || kind == ".bin" || kind == ".pt" ||
                         (kind == ".gguf" && name != formats::kGgufCompanion) ||
                         name.ends_with(".index.json") || name == "config.json";
    if (!entry.is_regular_file() || weights) continue;
    fs::copy_file(entry.path(), folder / name, fs::copy_options::overwrite_existing);
  }
}

// What a sentence encoder does with its states (sentence-transformers' modules.json) lies in folders of its
// own.
void copy_modules(const fs::path& source, const fs::path& folder) {
  if (!fs::exists(source / "modules.json")) return;
  const ordered_json modules = read_json(source / "modules.json");
  DS_CHECK(modules.is_array(), "{}: must hold a list of modules", (source / "modules.json").string());
  for (const ordered_json& module : modules) {
    const fs::path path =
        module.is_object() ? fs::path(module.value("path", "")).lexically_normal() : fs::path();
    if (path.empty() || path == "." || !fs::is_directory(source / path)) continue;
    DS_CHECK(path.is_relative() && *path.begin() != "..", "{}: the module '{}' lies outside the folder",
             (source / "modules.json").string(), formats::shown(path.string()));
    fs::create_directories(folder / path);
    fs::copy(source / path, folder / path,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
}

}  // namespace

std::vector<std::string> quantizable_layers() { return {kLayers.begin(), kLayers.end()}; }

void check_quantize_options(const QuantizeOptions& options, const fs::path& folder) {
  const PackedScheme scheme = options.weights.scheme;
  DS_CHECK(scheme != PackedScheme::kFp32 && scheme != PackedScheme::kBf16,
           "{} is no scheme that files are quantized by (int8, w8a8, int4, fp6)", ops::scheme_name(scheme));
  ops::format_of(options.weights, 1, 128);
  for (const std::string& layer : options.eight_bits)
    DS_CHECK(std::find(kLayers.begin(), kLayers.end(), layer) != kLayers.end(),
             "'{}' is none of the layers that may keep 8 bits: {}", layer, fmt::join(kLayers, ", "));
  DS_CHECK(options.eight_bits.empty() || code_bits(scheme) < 8,
           "{} has 8 bits everywhere; no layer keeps them", ops::scheme_name(scheme));
  std::error_code error;
  DS_CHECK(!fs::exists(folder, error) || (fs::is_directory(folder, error) && fs::is_empty(folder, error)),
           "{} is there already; name another folder or remove it", folder.string());
}

QuantizedSize quantize_files(const fs::path& source, const fs::path& folder, const QuantizeOptions& options) {
  const PackedScheme scheme = options.weights.scheme;
  std::error_code ignored;
  DS_CHECK(!fs::equivalent(source, folder, ignored), "{} would be quantized onto itself; name another folder",
           source.string());
  check_quantize_options(options, folder);
  ordered_json config = read_json(source / "config.json");
  DS_CHECK(!config.contains("quantization_config"), "{} is quantized already", source.string());
  const ArchSpec spec = read_arch_spec(source / "config.json");
  const formats::ModelFiles files = formats::ModelFiles::open(source);

  QuantizedSize size;
  std::vector<at::Tensor> kept;
  std::vector<formats::TensorView> quantized, dense;
  int64_t group = 0;
  const auto is_quantized = [&](const std::string& name) {
    return files.contains(name) && files.tensor(name).shape.size() == 2 && is_linear_weight(spec, name) &&
           !(options.keep && options.keep(name));
  };
  for (const std::string& name : files.names()) {
    const formats::MappedTensor& tensor = files.tensor(name);
    if (!is_quantized(name)) {
      // A bias goes where its weight is.
      const bool bias = name.ends_with(".bias") && is_quantized(name.substr(0, name.size() - 4) + "weight");
      (bias ? quantized : dense).push_back(dense_view(tensor, source.string()));
      continue;
    }
    const bool eight = code_bits(scheme) < 8 && is_linear_weight(spec, name, &options.eight_bits);
    const ops::PackOptions& weights = eight ? kEightBits : options.weights;
    const ops::WeightCodes codes = codes_of(tensor, options, weights, spec.order);
    const at::Tensor bits = to_bits(codes.codes, code_bits(weights.scheme));
    kept.push_back(bits);
    quantized.push_back({.name = name + ".codes",
                         .dtype = bits.scalar_type() == at::kChar ? formats::Dtype::kI8 : formats::Dtype::kU8,
                         .shape = bits.sizes().vec(),
                         .data = bytes_of(bits)});
    size.after += static_cast<int64_t>(bits.nbytes());
    for (const auto& [end, values] : {std::pair(".scales", codes.scales), {".shifts", codes.shifts}}) {
      if (!values.defined()) continue;
      kept.push_back(values);
      quantized.push_back({.name = name + end,
                           .dtype = formats::Dtype::kBF16,
                           .shape = values.sizes().vec(),
                           .data = bytes_of(values)});
      size.after += static_cast<int64_t>(values.nbytes());
    }
    if (!eight) group = ops::format_of(weights, codes.codes.size(0), codes.codes.size(1)).group;
    ++size.tensors;
    size.before += static_cast<int64_t>(tensor.bytes.size());
  }
  DS_CHECK(size.tensors > 0, "{}: none of its tensors is the weight of a linear layer to quantize",
           source.string());
  fs::create_directories(folder);
  formats::write_safetensors_model(folder, dense);
  formats::write_safetensors(folder / kFile, quantized);
  copy_other_files(source, folder);
  copy_modules(source, folder);
  config["quantization_config"] = {
      {"quant_method", kMethod}, {"scheme", ops::scheme_name(scheme)}, {"group_size", group}};
  if (options.weights.asymmetric) config["quantization_config"]["asymmetric"] = true;
  base::write_text_file(folder / "config.json", config.dump(2) + "\n");
  return size;
}

bool QuantizedFiles::present(const fs::path& folder) {
  if (!fs::is_regular_file(folder / "config.json")) return false;
  const ordered_json config = read_json(folder / "config.json");
  const auto found = config.find("quantization_config");
  return found != config.end() && found->is_object() && found->value("quant_method", "") == kMethod;
}

QuantizedFiles::QuantizedFiles(const fs::path& folder, ArchSpec spec)
    : spec_(std::move(spec)), codes_(folder / kFile) {
  DS_CHECK(present(folder), "{}: its config.json has no quantization_config of {}", folder.string(), kMethod);
  const ordered_json said = read_json(folder / "config.json").at("quantization_config");
  const std::string name = said.value("scheme", "");
  const auto scheme = ops::scheme_of(name);
  DS_CHECK(scheme && said.contains("group_size") && said.at("group_size").is_number_integer(),
           "{}/config.json: quantization_config has scheme '{}' and group_size {}, which is not understood",
           folder.string(), name, said.contains("group_size") ? said.at("group_size").dump() : "none");
  const ordered_json asymmetric = said.value("asymmetric", ordered_json(false));
  DS_CHECK(asymmetric.is_boolean(), "{}/config.json: quantization_config.asymmetric must be true or false",
           folder.string());
  weights_ = {
      .scheme = *scheme, .group = said.at("group_size").get<int64_t>(), .asymmetric = asymmetric.get<bool>()};
}

std::optional<std::string> QuantizedFiles::stored_name(const std::string& parameter) const {
  const std::string full = spec_.hugging_face_name(parameter);
  if (codes_.find(full + ".codes") != nullptr) return full;
  if (!spec_.name_prefix.empty() && full.starts_with(spec_.name_prefix)) {
    std::string bare = full.substr(spec_.name_prefix.size());
    if (codes_.find(bare + ".codes") != nullptr) return bare;
  }
  return std::nullopt;
}

at::Tensor QuantizedFiles::bias(const std::string& parameter, const std::string& weight, int64_t rows) const {
  const std::string name = weight.substr(0, weight.size() - 6) + "bias";
  const formats::TensorInfo* info = codes_.find(name);
  const RowOrder order = spec_.row_order(parameter);
  DS_CHECK(info != nullptr && info->shape == std::vector<int64_t>{file_rows(order, rows)},
           "{}: '{}' is missing or does not fit its weight of {} rows", codes_.path().string(), name, rows);
  const at::Tensor all = read_floats({info->name, info->dtype, info->shape, {}, codes_.data(*info)});
  const at::Tensor mine = at::empty({rows}, at::kFloat);
  for (int64_t r = 0; r < rows; ++r)
    mine.data_ptr<float>()[r] = all.const_data_ptr<float>()[file_row(order, r, rows, spec_.head_counts())];
  return mine;
}

std::optional<nn::StoredLinear> QuantizedFiles::linear(const std::string& name, int64_t in,
                                                       bool biased) const {
  const std::string parameter = name + ".weight";
  if (!is_quantizable(parameter)) return std::nullopt;
  const auto stored = stored_name(parameter);
  if (!stored) return std::nullopt;
  const formats::TensorInfo* codes = codes_.find(*stored + ".codes");
  const formats::TensorInfo* scales = codes_.find(*stored + ".scales");
  DS_CHECK(scales != nullptr && codes->shape.size() == 2 && scales->shape.size() == 2 &&
               scales->dtype == formats::Dtype::kBF16 && scales->shape[0] == codes->shape[0],
           "{}: '{}' has no scales that fit its codes", codes_.path().string(), *stored);
  const RowOrder order = spec_.row_order(parameter);
  const int64_t stored_rows = codes->shape[0];
  const int64_t rows =
      order == RowOrder::kFirstHalf || order == RowOrder::kSecondHalf ? stored_rows / 2 : stored_rows;
  // In the order of our rows.
  const auto take = [&](const formats::TensorInfo& info, at::ScalarType type) {
    const at::Tensor out = at::empty({rows, info.shape[1]}, type);
    const size_t width = static_cast<size_t>(info.shape[1]) * out.element_size();
    DS_CHECK((info.end - info.begin) == width * static_cast<size_t>(stored_rows),
             "{}: '{}' is of a wrong type", codes_.path().string(), info.name);
    for (int64_t r = 0; r < rows; ++r)
      codes_.read(info, static_cast<size_t>(file_row(order, r, rows, spec_.head_counts())) * width,
                  {static_cast<std::byte*>(out.data_ptr()) + static_cast<size_t>(r) * width, width});
    return out;
  };
  const at::Tensor bits = take(*codes, codes->dtype == formats::Dtype::kI8 ? at::kChar : at::kByte);
  const bool eight = code_bits(weights_.scheme) < 8 && codes->dtype == formats::Dtype::kI8;
  const ops::PackOptions& weights = eight ? kEightBits : weights_;
  nn::StoredLinear result{
      {from_bits(bits, code_bits(weights.scheme), in), take(*scales, at::kBFloat16)}, {}, weights};
  const formats::TensorInfo* shifts = codes_.find(*stored + ".shifts");
  DS_CHECK(weights.asymmetric == (shifts != nullptr),
           "{}: '{}' {} shifts, but config.json's quantization_config says asymmetric: {}",
           codes_.path().string(), *stored, weights.asymmetric ? "has no" : "has", weights.asymmetric);
  if (shifts != nullptr) {
    DS_CHECK(shifts->dtype == formats::Dtype::kBF16 && shifts->shape == scales->shape,
             "{}: '{}' has no shifts that fit its scales", codes_.path().string(), *stored);
    result.codes.shifts = take(*shifts, at::kBFloat16);
  }
  if (biased) result.bias = bias(name + ".bias", *stored, rows);
  return result;
}

nn::PackedLinears QuantizedFiles::install(torch::nn::Module& model, nn::PackLinearsOptions how) const {
  how.weights = weights_;
  how.stored = [this](const std::string& name, int64_t in, bool biased) { return linear(name, in, biased); };
  return nn::pack_linears(model, how);
}

}  // namespace deepspeed::models
