// Which settings of the `aio` block are fastest on a disk: what the command ds_nvme_tune does (DeepSpeed's
// nvme/perf_run_sweep.py and perf_generate_param.py).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/aio/measure.h"

namespace deepspeed::aio {

/// The values to be tried, all with all.
struct SweepSpace {
  std::vector<int64_t> block_size{int64_t{1} << 20, int64_t{8} << 20};
  std::vector<int> queue_depth{32, 128};
  std::vector<bool> sequential_requests{true, false};
  std::vector<bool> single_submit{false, true};
  std::vector<int> io_parallel{1, 2, 4, 8};
};

/// From the text of a --sweep_config file: an object of lists, by ds_io's names; what it leaves out is not
/// varied and has ds_io's default. Errors name `source` and the key.
SweepSpace parse_sweep(const std::string& json, const std::string& source);

/// In the order in which they are tried.
std::vector<AioConfig> configurations(const SweepSpace& space);

struct TuneOptions {
  std::vector<std::filesystem::path> folders;
  SweepSpace space;
  bool read = true, write = true;
  int64_t io_size = int64_t{400} << 20;
  int loops = 1;
  BackendKind backend = BackendKind::kAuto;
  /// Drop the page cache before every measurement, which needs root.
  bool flush_page_cache = false;
  /// Each measurement's output goes to a file below.
  std::filesystem::path log_dir = "_aio_bench_logs";
};

struct TuneResult {
  AioConfig config;
  /// GiB a second; nothing where it was not measured.
  std::optional<double> read, write;
};

/// The configuration with the greatest sum of both speeds. The measured files are removed at the end. `say`
/// gets a line for each measurement. Errors: as measure(), and logs that cannot be written.
TuneResult tune(const TuneOptions& options, const Say& say);

/// "Best performance (GB/sec): read = ..., write = ..." and the JSON to paste into a configuration file.
std::string to_text(const TuneResult& result);

/// "read_block_overlap_ftd1_d32_bs1M_p1.txt", as DeepSpeed names a measurement's log.
std::string log_name(const AioConfig& config, bool read, size_t folders);

}  // namespace deepspeed::aio
