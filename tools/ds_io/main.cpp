#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "deepspeed/aio/measure.h"
#include "deepspeed/base/error.h"
#include "tools/run_tool.h"

namespace {

namespace aio = deepspeed::aio;
namespace base = deepspeed::base;

constexpr const char* kExamples = R"(Examples:
  ds_io --folder /nvme --io_size 1G
  ds_io --folder /nvme --io_size 1G --read --block_size 8M --queue_depth 128 --io_parallel 4
  ds_io --folder_to_device_mapping /nvme0:0 /nvme1:1 --io_size 400M --validate)";

struct Options {
  std::string folder, io_size, block_size = "1M", engine = "aio_handle", backend = "auto";
  std::vector<std::string> mapping;
  int multi_process = 1, queue_depth = 32, io_parallel = 1;
  bool sequential_requests = false, accelerator_memory = false;
  aio::MeasureOptions measure;
};

/// One folder a task, and what the task is called.
struct Folders {
  std::vector<std::filesystem::path> folders;
  std::vector<std::string> names;
};

Folders folders_of(const Options& options) {
  Folders all;
  for (int i = 0; i < options.multi_process && !options.folder.empty(); ++i) {
    all.folders.emplace_back(options.folder);
    all.names.push_back(std::to_string(i));
  }
  for (const std::string& entry : options.mapping) {
    const size_t colon = entry.rfind(':');
    DS_CHECK(colon != std::string::npos && colon > 0 && colon + 1 < entry.size(),
             "--folder_to_device_mapping takes FOLDER:ID, not '{}'", entry);
    const std::string name = entry.substr(colon + 1);
    for (const std::string& other : all.names)
      DS_CHECK(other != name, "--folder_to_device_mapping names device {} twice", name);
    all.folders.emplace_back(entry.substr(0, colon));
    all.names.push_back(name);
  }
  DS_CHECK(!all.folders.empty(), "give --folder or --folder_to_device_mapping");
  return all;
}

aio::Engine engine_of(const std::string& name) {
  if (name == "aio_handle") return aio::Engine::kHandle;
  if (name == "aio_basic") return aio::Engine::kBasic;
  DS_CHECK(name != "torch_io" && name != "torch_fastio",
           "--engine {} writes torch.save files, which are pickles and not written here; use aio_handle",
           name);
  base::fail("--engine must be aio_handle or aio_basic, not '{}'", name);
}

void add_options(CLI::App& app, Options& options) {
  auto* folder =
      app.add_option("--folder", options.folder, "Folder to read or write in")->type_name("FOLDER");
  auto* mapping = app.add_option("--folder_to_device_mapping", options.mapping,
                                 "One task a folder, as FOLDER:ID; the id only names it")
                      ->type_name("FOLDER:ID")
                      ->excludes(folder);
  app.add_option("--io_size", options.io_size, "Bytes of a file; K, M and G may follow")
      ->type_name("SIZE")
      ->required();
  app.add_flag("--read", options.measure.read, "Read (default: write)");
  app.add_option("--multi_process", options.multi_process, "Tasks side by side in --folder, each a thread")
      ->type_name("N")
      ->excludes(mapping)
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--block_size", options.block_size, "Bytes of one transfer")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--queue_depth", options.queue_depth, "Transfers in flight, of each worker")
      ->type_name("N")
      ->check(CLI::Range(1, aio::kMaxQueueDepth))
      ->capture_default_str();
  app.add_flag("--single_submit", options.measure.config.single_submit, "One system call a transfer");
  app.add_flag("--sequential_requests", options.sequential_requests,
               "Start transfers when all in flight have ended, not one by one");
  app.add_flag("--validate", options.measure.validate, "Compare file and memory after every operation");
  app.add_option("--engine", options.engine, "aio_handle (asynchronous) or aio_basic (serial)")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--backend", options.backend,
                 "io_uring, libaio, thread_pool, or auto: the first that works here")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--loops", options.measure.loops, "Operations that count")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--io_parallel", options.io_parallel, "Workers that share each operation")
      ->type_name("N")
      ->check(CLI::Range(1, aio::kMaxWorkers))
      ->capture_default_str();
  app.add_flag("--use_accelerator_pin_memory", options.accelerator_memory,
               "Take memory as the accelerator does: on a CPU it is not page-locked");
  app.add_option("--warmup_loops", options.measure.warmup_loops, "Operations before those that count")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_flag("--include_warmup_time", options.measure.include_warmup_time,
               "Count the operations before them, too");
  app.add_flag("--different_file_each_iteration", options.measure.different_file_each_iteration,
               "A file for each operation");
}

// DeepSpeed's options for what does not exist here are refused by name, so that no script measures something
// else than it says.
void add_refused(CLI::App& app) {
  const auto refuse = [&app](const char* name, const char* reason) {
    app.add_flag_callback(
           name, [name, reason] { base::fail("{}: {}", name, reason); }, reason)
        ->group("Not available");
  };
  refuse("--gpu", "transfers to GPU memory are not available yet");
  refuse("--use_gds", "GPUDirect Storage is not available yet");
  refuse("--slow_bounce_buffer", "transfers to GPU memory are not available yet");
  refuse("--torch_legacy_save", "belongs to the engines torch_io and torch_fastio, which write pickles");
  app.add_option_function<std::string>(
         "--fast_io_size",
         [](const std::string&) {
           base::fail("--fast_io_size: belongs to the engine torch_fastio, which writes pickles");
         },
         "belongs to the engine torch_fastio, which writes pickles")
      ->type_name("SIZE")
      ->group("Not available");
}

void run(Options& options) {
  const Folders all = folders_of(options);
  aio::MeasureOptions& measure = options.measure;
  measure.folders = all.folders;
  measure.io_size = aio::parse_size(options.io_size, "--io_size");
  measure.config.block_size = aio::parse_size(options.block_size, "--block_size");
  measure.config.queue_depth = options.queue_depth;
  measure.config.intra_op_parallelism = options.io_parallel;
  measure.config.overlap_events = !options.sequential_requests;
  measure.engine = engine_of(options.engine);
  measure.backend = aio::choose_backend(aio::parse_backend(options.backend));
  measure.lock_memory = !options.accelerator_memory;
  fmt::print("Testing DeepNVMe through {}\nConfiguring {} process to folder mapping\n",
             aio::name_of(measure.backend), all.folders.size());
  for (size_t i = 0; i < all.folders.size(); ++i)
    fmt::print("[{}]: process {} <----> {}\n", i, all.names[i], all.folders[i].string());
  const auto result = aio::measure(measure, [](const std::string& line) { fmt::print("{}\n", line); });
  fmt::print("{}", aio::to_text(result, measure.read));
  DS_CHECK(std::fflush(stdout) == 0, "cannot write to standard output");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures how fast files are read or written asynchronously.", "ds_io");
  app.set_version_flag("--version", "ds_io " DS_VERSION);
  app.footer(kExamples);
  Options options;
  add_options(app, options);
  add_refused(app);
  return deepspeed::tools::run_tool(app, argc, argv, [&] { run(options); });
}
