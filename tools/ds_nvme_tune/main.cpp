#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "deepspeed/aio/tune.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "tools/run_tool.h"

namespace {

namespace aio = deepspeed::aio;
namespace base = deepspeed::base;

constexpr const char* kExamples = R"(Examples:
  ds_nvme_tune --nvme_dir /nvme
  ds_nvme_tune --nvme_dir /nvme0 /nvme1 --io_size 1G --no_write
  ds_nvme_tune --nvme_dir /nvme --sweep_config sweep.json    {"block_size": ["256K", "1M"], "queue_depth": [8, 32]})";

struct Options {
  std::vector<std::string> folders;
  std::string sweep_config, io_size = "400M", backend = "auto", log_dir = "_aio_bench_logs";
  bool no_read = false, no_write = false, verbose = false;
  aio::TuneOptions tune;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--nvme_dir", options.folders, "Folders to read and write in, side by side; one a disk")
      ->type_name("FOLDER")
      ->required();
  app.add_option("--sweep_config", options.sweep_config,
                 "JSON file of the values to try, a list a ds_io option")
      ->type_name("FILE");
  app.add_flag("--no_read", options.no_read, "Measure no reads");
  app.add_flag("--no_write", options.no_write, "Measure no writes");
  app.add_option("--io_size", options.io_size, "Bytes of a file; K, M and G may follow")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_flag("--flush_page_cache", options.tune.flush_page_cache,
               "Empty the page cache before every measurement; needs root");
  app.add_option("--log_dir", options.log_dir, "Folder for the output of every measurement")
      ->type_name("FOLDER")
      ->capture_default_str();
  app.add_option("--loops", options.tune.loops, "Operations of a measurement that count")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--backend", options.backend,
                 "io_uring, libaio, thread_pool, or auto: the first that works here")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_flag("--verbose", options.verbose, "A line for every measurement, on standard error");
  const auto refuse = [&app](const char* name, const char* reason) {
    app.add_flag_callback(
           name, [name, reason] { base::fail("{}: {}", name, reason); }, reason)
        ->group("Not available");
  };
  refuse("--gpu", "transfers to GPU memory are not available yet");
  refuse("--gds", "GPUDirect Storage is not available yet");
}

void run(Options& options) {
  aio::TuneOptions& tune = options.tune;
  tune.folders.assign(options.folders.begin(), options.folders.end());
  if (!options.sweep_config.empty())
    tune.space = aio::parse_sweep(base::read_text_file(options.sweep_config), options.sweep_config);
  tune.read = !options.no_read;
  tune.write = !options.no_write;
  tune.io_size = aio::parse_size(options.io_size, "--io_size");
  tune.backend = aio::choose_backend(aio::parse_backend(options.backend));
  tune.log_dir = options.log_dir;
  fmt::print("Running DeepNVMe performance tuning on {}\n", options.folders);
  std::fflush(stdout);
  const auto result = aio::tune(tune, [&](const std::string& line) {
    if (options.verbose) fmt::print(stderr, "{}\n", line);
  });
  fmt::print("{}", aio::to_text(result));
  DS_CHECK(std::fflush(stdout) == 0, "cannot write to standard output");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Finds the settings of the aio block that read and write a disk fastest.", "ds_nvme_tune");
  app.set_version_flag("--version", "ds_nvme_tune " DS_VERSION);
  app.footer(kExamples);
  Options options;
  add_options(app, options);
  return deepspeed::tools::run_tool(app, argc, argv, [&] { run(options); });
}
