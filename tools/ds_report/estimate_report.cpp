#include "tools/ds_report/estimate_report.h"

#include <algorithm>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/safetensors_model.h"

namespace deepspeed::report {
namespace {

// Tables that some files hold beside the parameters.
bool is_buffer(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
         name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") ||
         name.ends_with("inv_freq") || name.ends_with("position_ids");
}

// A layer is what shares a name but for its last part: one module of the Hugging Face model.
zero::ModelSize size_of(const std::filesystem::path& folder) {
  DS_CHECK(formats::SafetensorsModel::present(folder),
           "'{}' holds no weights to count (model.safetensors); give --total-params and "
           "--largest-layer-params instead",
           folder.string());
  const auto model = formats::SafetensorsModel::open(folder);
  std::map<std::string, int64_t, std::less<>> layers;
  zero::ModelSize size;
  for (const std::string& name : model.names()) {
    if (is_buffer(name)) continue;
    int64_t count = 1;
    for (const int64_t extent : model.info(name).shape) count *= extent;
    size.total_params += count;
    const size_t dot = name.rfind('.');
    int64_t& layer = layers[name.substr(0, dot == std::string::npos ? 0 : dot)];
    layer += count;
    size.largest_layer_params = std::max(size.largest_layer_params, layer);
  }
  return size;
}

}  // namespace

std::string estimate_report(const EstimateReportOptions& options) {
  const zero::ModelSize size = options.model.empty() ? options.size : size_of(options.model);
  return "ZeRO 2\n" +
         zero::estimate_zero2_model_states_mem_needs_all_cold(size.total_params, options.estimate) +
         "\nZeRO 3\n" + zero::estimate_zero3_model_states_mem_needs_all_cold(size, options.estimate);
}

}  // namespace deepspeed::report
