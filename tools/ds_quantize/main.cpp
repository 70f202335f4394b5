#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "deepspeed/base/version.h"
#include "deepspeed/inference/quantize_model.h"
#include "tools/run_tool.h"

namespace {

namespace inference = deepspeed::inference;
namespace ops = deepspeed::ops;

constexpr const char* kExamples = R"(Examples:
  ds_quantize gemma-3-270m gemma-3-270m-int4 --scheme int4 --calibrate text.txt
  ds_quantize gemma-3-270m-q8_0.gguf gemma-3-270m-int4
  ds_quantize llama llama-int8 --scheme int8 --group-size 128 --keep down_proj)";

struct Options {
  std::string model, out, scheme = "int4";
  std::optional<int64_t> group;
  std::string symmetry;
  std::vector<std::string> eight_bits;
  std::string calibration;
  int64_t calibration_windows = 32;
  std::vector<std::string> keep;
};

void quantize(const Options& o) {
  inference::QuantizeModelOptions options{.calibration = o.calibration,
                                          .calibration_windows = o.calibration_windows};
  const bool asymmetric = o.symmetry.empty() ? o.scheme == "int4" : o.symmetry == "asymmetric";
  options.files.weights = {.scheme = *ops::scheme_of(o.scheme), .group = o.group, .asymmetric = asymmetric};
  // What attention passes on and what a layer ends in err most: 8 bits of them cost little.
  options.files.eight_bits = o.eight_bits;
  if (o.eight_bits.empty() && o.scheme == "int4") options.files.eight_bits = {"value", "down"};
  if (o.eight_bits == std::vector<std::string>{"none"}) options.files.eight_bits.clear();
  options.files.keep = [&](const std::string& name) {
    return std::any_of(o.keep.begin(), o.keep.end(),
                       [&](const std::string& part) { return name.find(part) != std::string::npos; });
  };
  const deepspeed::models::QuantizedSize size = inference::quantize_model(o.model, o.out, options);
  fmt::print("{}: {} tensors quantized to {}, {:.1f} MB of {:.1f}\n", o.out, size.tensors, o.scheme,
             static_cast<double>(size.after) / 1e6, static_cast<double>(size.before) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantizes the linear layers of a model into a folder (docs/packed_weights.md).",
               "ds_quantize");
  app.footer(kExamples);
  app.set_version_flag("--version", deepspeed::base::version());
  Options o;
  app.add_option("model", o.model, "a folder, ORG/NAME in the Hugging Face cache, or a GGUF file")
      ->required();
  app.add_option("out", o.out, "the folder to write")->required();
  app.add_option("--scheme", o.scheme)
      ->check(CLI::IsMember({"int8", "int4", "fp6", "w8a8"}))
      ->capture_default_str();
  app.add_option("--group-size", o.group,
                 "numbers with one scale: 32, 64, 96 or 128; 0: a whole row (int4: 32, else 0)");
  app.add_option("--type", o.symmetry,
                 "whether numbers lie around a shift of their group or around zero (int4: asymmetric, else "
                 "symmetric)")
      ->check(CLI::IsMember({"symmetric", "asymmetric"}));
  app.add_option(
      "--eight-bits", o.eight_bits,
      fmt::format("layers that keep 8 bits where the scheme has fewer: {}, or none (int4: value down)",
                  fmt::join(deepspeed::models::quantizable_layers(), ", ")));
  app.add_option("--calibrate", o.calibration,
                 "a text (or .bin of 32-bit token ids): weights are rounded so that what they make of it "
                 "changes least (GPTQ)")
      ->check(CLI::ExistingFile);
  app.add_option("--calibration-windows", o.calibration_windows,
                 "how many times 512 tokens of it are read, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--keep", o.keep, "leaves out tensors whose names contain this; may be repeated")
      ->allow_extra_args(false);
  return deepspeed::tools::run_tool(app, argc, argv, [&] { quantize(o); });
}
