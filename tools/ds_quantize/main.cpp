#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "deepspeed/base/version.h"
#include "deepspeed/formats/model_files.h"
#include "deepspeed/models/quantized_files.h"
#include "tools/run_tool.h"

namespace {

namespace models = deepspeed::models;
namespace ops = deepspeed::ops;

constexpr const char* kExamples = R"(Examples:
  ds_quantize gemma-3-270m gemma-3-270m-int4 --scheme int4
  ds_quantize llama llama-int8 --scheme int8 --group-size 128 --keep down_proj)";

struct Options {
  std::string model, out, scheme = "int4";
  std::optional<int64_t> group;
  std::vector<std::string> keep;
};

void quantize(const Options& o) {
  models::QuantizeOptions options;
  options.weights = {.scheme = *ops::scheme_of(o.scheme), .group = o.group};
  options.keep = [&](const std::string& name) {
    return std::any_of(o.keep.begin(), o.keep.end(),
                       [&](const std::string& part) { return name.find(part) != std::string::npos; });
  };
  const models::QuantizedSize size =
      models::quantize_files(deepspeed::formats::find_model(o.model), o.out, options);
  fmt::print("{}: {} tensors quantized to {}, {:.1f} MB of {:.1f}\n", o.out, size.tensors, o.scheme,
             static_cast<double>(size.after) / 1e6, static_cast<double>(size.before) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantizes the linear layers of a Hugging Face model folder (docs/packed_weights.md).",
               "ds_quantize");
  app.footer(kExamples);
  app.set_version_flag("--version", deepspeed::base::version());
  Options o;
  app.add_option("model", o.model, "a folder, or ORG/NAME in the Hugging Face cache")->required();
  app.add_option("out", o.out, "the folder to write")->required();
  app.add_option("--scheme", o.scheme)
      ->check(CLI::IsMember({"int8", "int4", "fp6", "w8a8"}))
      ->capture_default_str();
  app.add_option("--group-size", o.group,
                 "numbers with one scale: 32, 64, 96 or 128; 0: a whole row (int4: 32, else 0)");
  app.add_option("--keep", o.keep, "leaves out tensors whose names contain one of these");
  return deepspeed::tools::run_tool(app, argc, argv, [&] { quantize(o); });
}
