#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "build_info.h"
#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/engine/parse_config.h"
#include "tools/ds_report/config_report.h"
#include "tools/ds_report/op_report.h"
#include "tools/ds_report/system_report.h"

namespace {

namespace report = deepspeed::report;

constexpr const char* kExamples = R"(Examples:
  ds_report
  ds_report --config ds_config.json --world-size 4
  ds_report --config ds_config.json --model gpt2 --steps 500 --json
  ds_report --config-reference > docs/config.md)";

struct Options {
  bool hide_operators = false, hide_warnings = false, reference = false;
  report::ConfigReportOptions config;
};

std::string make_report(const Options& options) {
  if (options.reference)
    return options.config.json ? report::config_reference_json()
                               : deepspeed::engine::config_reference_markdown();
  if (!options.config.config.empty()) return report::config_report(options.config);
  DS_CHECK(!options.config.json, "--json goes with --config FILE or --config-reference");
  const bool color = ::isatty(STDOUT_FILENO) != 0 && !deepspeed::base::env("NO_COLOR");
  std::string text = options.hide_operators ? "" : report::op_report(color);
  return text + report::system_report(!options.hide_warnings);
}

/// False when --help or --version was answered.
bool parse(int argc, char** argv, Options& options) {
  CLI::App app(
      "Shows what this build of DeepSpeed and this machine can do, or how a configuration is understood.",
      "ds_report");
  app.add_flag("--hide_operator_status", options.hide_operators, "Leave the table of ops out");
  app.add_flag("--hide_errors_and_warnings", options.hide_warnings, "Leave warnings out");
  auto* config =
      app.add_option("--config", options.config.config,
                     "Check a DeepSpeed configuration (file, text, or base64) and explain each key: "
                     "its value, where that comes from, what it does")
          ->type_name("FILE");
  app.add_option("--model", options.config.model,
                 "Hugging Face folder of the model to be trained, for \"auto\"")
      ->type_name("FOLDER")
      ->needs(config);
  app.add_option("--steps", options.config.steps, "Steps of the training, for \"auto\"")
      ->type_name("N")
      ->needs(config)
      ->check(CLI::PositiveNumber);
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
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& answered) {
    app.exit(answered);
    return false;
  } catch (const CLI::ParseError& error) {
    throw deepspeed::base::Error(std::string(error.what()) + " (see ds_report --help)");
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    if (parse(argc, argv, options) &&
        (std::fputs(make_report(options).c_str(), stdout) == EOF || std::fflush(stdout) != 0))
      deepspeed::base::fail("cannot write to standard output");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ds_report: %s\n", error.what());
    return 1;
  }
}
