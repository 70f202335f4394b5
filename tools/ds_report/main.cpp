#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "build_info.h"
#include "deepspeed/base/env.h"
#include "deepspeed/base/usage_error.h"
#include "deepspeed/engine/parse_config.h"
#include "tools/ds_report/config_report.h"
#include "tools/ds_report/estimate_report.h"
#include "tools/ds_report/op_report.h"
#include "tools/ds_report/system_report.h"
#include "tools/run_tool.h"

namespace {

namespace report = deepspeed::report;

constexpr const char* kExamples = R"(Examples:
  ds_report
  ds_report --config ds_config.json --world-size 4
  ds_report --config ds_config.json --model gpt2 --steps 500 --json
  ds_report --estimate gpt2 --num-gpus-per-node 8
  ds_report --config-reference > docs/config.md)";

struct Options {
  bool hide_operators = false, hide_warnings = false, reference = false;
  report::ConfigReportOptions config;
  bool estimates = false;
  report::EstimateReportOptions estimate;
};

std::string make_report(const Options& options) {
  if (options.reference)
    return options.config.json ? report::config_reference_json()
                               : deepspeed::engine::config_reference_markdown();
  if (options.estimates) return report::estimate_report(options.estimate);
  if (!options.config.config.empty()) return report::config_report(options.config);
  const bool color = ::isatty(STDOUT_FILENO) != 0 && !deepspeed::base::env("NO_COLOR");
  std::string text = options.hide_operators ? "" : report::op_report(color);
  return text + report::system_report(!options.hide_warnings);
}

void add_estimate_options(CLI::App& app, report::EstimateReportOptions& o, bool& wanted) {
  constexpr const char* kGroup = "Memory estimates";
  constexpr int64_t kMost = int64_t{1} << 50;
  auto* model =
      app.add_option("--estimate", o.model,
                     "Memory that the states of this Hugging Face model take under ZeRO 2 and 3, by "
                     "DeepSpeed's rules of thumb; only the headers of its weights are read")
          ->type_name("FOLDER")
          ->group(kGroup);
  auto* total =
      app.add_option("--total-params", o.size.total_params, "The same for a model of so many parameters")
          ->type_name("N")
          ->group(kGroup)
          ->excludes(model)
          ->check(CLI::Range(int64_t{1}, kMost));
  auto* largest = app.add_option("--largest-layer-params", o.size.largest_layer_params,
                                 "Of which the largest layer has so many (for ZeRO 3)")
                      ->type_name("N")
                      ->group(kGroup)
                      ->check(CLI::Range(int64_t{1}, kMost));
  total->needs(largest);
  largest->needs(total);
  for (const char* other : {"--config", "--config-reference"}) {
    model->excludes(app.get_option(other));
    total->excludes(app.get_option(other));
  }
  app.add_option("--num-gpus-per-node", o.estimate.num_gpus_per_node, "GPUs on each node")
      ->type_name("N")
      ->group(kGroup)
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--num-nodes", o.estimate.num_nodes, "Nodes")
      ->type_name("N")
      ->group(kGroup)
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--additional-buffer-factor", o.estimate.additional_buffer_factor, "Reserve of host memory")
      ->type_name("X")
      ->group(kGroup)
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  app.parse_complete_callback([&app, &wanted] {
    wanted = app.count("--estimate") > 0 || app.count("--total-params") > 0;
    for (const char* flag : {"--num-gpus-per-node", "--num-nodes", "--additional-buffer-factor"})
      if (app.count(flag) > 0 && !wanted)
        throw deepspeed::base::UsageError(std::string(flag) + " goes with --estimate or --total-params");
    if (app.count("--json") > 0 && app.count("--config") == 0 && app.count("--config-reference") == 0)
      throw deepspeed::base::UsageError("--json goes with --config FILE or --config-reference");
  });
}

void add_options(CLI::App& app, Options& options) {
  app.add_flag("--hide_operator_status", options.hide_operators, "Leave the table of ops out");
  app.add_flag("--hide_errors_and_warnings", options.hide_warnings, "Leave warnings out");
  auto* config =
      app.add_option("--config", options.config.config,
                     "Check a DeepSpeed configuration (file, text, or base64) and explain each key: "
                     "its value, where that comes from, what it does")
          ->type_name("FILE")
          ->check(deepspeed::tools::not_empty());
  app.add_option("--model", options.config.model,
                 "Hugging Face folder of the model to be trained, for \"auto\"")
      ->type_name("FOLDER")
      ->needs(config);
  app.add_option("--steps", options.config.steps, "Steps of the training, for \"auto\"")
      ->type_name("N")
      ->needs(config)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 50));
  app.add_option("--world-size,--world_size", options.config.world_size,
                 "Data-parallel ranks, for the batch sizes (default 1)")
      ->type_name("N")
      ->needs(config)
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--json", options.config.json, "With --config or --config-reference: for programs");
  app.add_flag("--config-reference", options.reference,
               "Print the reference of all configuration keys (docs/config.md)")
      ->excludes(config);
  app.set_version_flag("--version", std::string("ds_report ") + deepspeed::build_info::kVersion);
  app.footer(kExamples);
  add_estimate_options(app, options.estimate, options.estimates);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Shows what this build of DeepSpeed and this machine can do, or how a configuration is understood.",
      "ds_report");
  Options options;
  add_options(app, options);
  return deepspeed::tools::run_tool(app, argc, argv, [&] {
    if (std::fputs(make_report(options).c_str(), stdout) == EOF || std::fflush(stdout) != 0)
      deepspeed::base::fail("cannot write to standard output");
  });
}
