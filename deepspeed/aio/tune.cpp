#include "deepspeed/aio/tune.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/config/json.h"

namespace deepspeed::aio {
namespace {

namespace fs = std::filesystem;
using config::Json;

std::string short_size(int64_t bytes) {
  for (const auto& [unit, letter] : {std::pair{int64_t{1} << 20, 'M'}, std::pair{int64_t{1} << 10, 'K'}})
    if (bytes % unit == 0) return fmt::format("{}{}", bytes / unit, letter);
  return std::to_string(bytes);
}

int64_t size_of(const Json& value, const std::string& what) {
  return parse_size(value.is_string() ? value.get<std::string>() : value.dump(), what);
}

bool flag_of(const Json& value, const std::string& what) {
  DS_CHECK(value.is_boolean(), "{} must be true or false, not {}", what, value.dump());
  return value.get<bool>();
}

int count_of(const Json& value, const std::string& what, int most) {
  DS_CHECK(value.is_number_integer() && value >= 1 && value <= most,
           "{} must be a whole number from 1 to {}, not {}", what, most, value.dump());
  return value.get<int>();
}

// Writes what is dirty to the disk, so that the next measurement does not pay for it.
void sync_folders(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    ::syncfs(fd);
    ::close(fd);
  }
}

void drop_page_cache() {
  constexpr const char* kSwitch = "/proc/sys/vm/drop_caches";
  const int fd = ::open(kSwitch, O_WRONLY | O_CLOEXEC);
  const bool dropped = fd >= 0 && ::write(fd, "1", 1) == 1;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!dropped)
    base::fail("--flush_page_cache needs root: cannot write {}: {}", kSwitch, std::strerror(error));
}

MeasureOptions measurement_of(const TuneOptions& options, const AioConfig& config, bool read) {
  MeasureOptions measurement;
  measurement.folders = options.folders;
  measurement.io_size = options.io_size;
  measurement.read = read;
  measurement.config = config;
  measurement.backend = options.backend;
  measurement.loops = options.loops;
  return measurement;
}

// Runs one measurement with its log and returns the speed from end to end.
double measure_one(const TuneOptions& options, const AioConfig& config, bool read) {
  sync_folders(options.folders);
  if (options.flush_page_cache) drop_page_cache();
  const MeasureOptions measurement = measurement_of(options, config, read);
  std::string log;
  const Measurement result = measure(measurement, [&](const std::string& line) { log += line + "\n"; });
  const fs::path folder = options.log_dir / (read ? "_aio_bench_read_logs" : "_aio_bench_write_logs");
  fs::create_directories(folder);
  base::write_text_file(folder / log_name(config, read, options.folders.size()), log + to_text(result, read));
  sync_folders(options.folders);
  return result.e2e_speed();
}

/// Removes the measured files, whatever ends the sweep.
class Cleaner {
 public:
  explicit Cleaner(const TuneOptions& options) : options_(options) {}
  ~Cleaner() {
    for (bool read : {false, true})
      for (size_t i = 0; i < options_.folders.size(); ++i) {
        std::error_code ignored;
        fs::remove(measured_file(measurement_of(options_, {}, read), i, 0), ignored);
      }
  }
  Cleaner(const Cleaner&) = delete;
  Cleaner& operator=(const Cleaner&) = delete;

 private:
  const TuneOptions& options_;
};

}  // namespace

SweepSpace parse_sweep(const std::string& text, const std::string& source) {
  const Json json = config::parse_text(text, source).json;
  DS_CHECK(json.is_object(), "{}: no JSON object of lists such as {{\"block_size\": [\"1M\"]}}", source);
  SweepSpace space{{int64_t{1} << 20}, {32}, {false}, {false}, {1}};
  for (const auto& [key, values] : json.items()) {
    const std::string what = fmt::format("{}: {}", source, key);
    DS_CHECK(values.is_array() && !values.empty(), "{} must be a list of values", what);
    const auto read_into = [&all = values](auto& list, auto read) {
      list.clear();
      for (const Json& value : all) list.push_back(read(value));
    };
    if (key == "block_size")
      read_into(space.block_size, [&](const Json& v) { return size_of(v, what); });
    else if (key == "queue_depth")
      read_into(space.queue_depth, [&](const Json& v) { return count_of(v, what, kMaxQueueDepth); });
    else if (key == "io_parallel")
      read_into(space.io_parallel, [&](const Json& v) { return count_of(v, what, kMaxWorkers); });
    else if (key == "single_submit")
      read_into(space.single_submit, [&](const Json& v) { return flag_of(v, what); });
    else if (key == "sequential_requests")
      read_into(space.sequential_requests, [&](const Json& v) { return flag_of(v, what); });
    else
      base::fail(
          "{} cannot be varied; there are block_size, queue_depth, sequential_requests, single_submit and "
          "io_parallel",
          what);
  }
  return space;
}

std::vector<AioConfig> configurations(const SweepSpace& space) {
  std::vector<AioConfig> all;
  for (int64_t block_size : space.block_size)
    for (int queue_depth : space.queue_depth)
      for (bool sequential : space.sequential_requests)
        for (bool single_submit : space.single_submit)
          for (int io_parallel : space.io_parallel)
            all.push_back({block_size, queue_depth, io_parallel, single_submit, !sequential});
  return all;
}

TuneResult tune(const TuneOptions& options, const Say& say) {
  DS_CHECK(options.read || options.write, "--no_read and --no_write together leave nothing to measure");
  const Cleaner cleaner(options);
  std::optional<TuneResult> best;
  for (const AioConfig& config : configurations(options.space)) {
    TuneResult result{config, {}, {}};
    if (options.read) result.read = measure_one(options, config, true);
    if (options.write) result.write = measure_one(options, config, false);
    say(fmt::format("{:.2f} GB/sec read, {:.2f} written: {}", result.read.value_or(0),
                    result.write.value_or(0), log_name(config, options.read, options.folders.size())));
    const auto sum = [](const TuneResult& r) { return r.read.value_or(0) + r.write.value_or(0); };
    if (!best || sum(result) > sum(*best)) best = result;
  }
  return *best;
}

std::string to_text(const TuneResult& result) {
  std::string speeds;
  if (result.read) speeds += fmt::format("read = {:5.2f}", *result.read);
  if (result.write) speeds += fmt::format("{}write = {:5.2f}", speeds.empty() ? "" : ", ", *result.write);
  const Json block{{"single_submit", result.config.single_submit},
                   {"overlap_events", result.config.overlap_events},
                   {"intra_op_parallelism", result.config.intra_op_parallelism},
                   {"queue_depth", result.config.queue_depth},
                   {"block_size", result.config.block_size}};
  return fmt::format("Best performance (GB/sec): {}\n{}\n", speeds, Json{{"aio", block}}.dump(3));
}

std::string log_name(const AioConfig& config, bool read, size_t folders) {
  return fmt::format("{}_{}_{}_ftd{}_d{}_bs{}_p{}.txt", read ? "read" : "write",
                     config.single_submit ? "single" : "block",
                     config.overlap_events ? "overlap" : "sequential", folders, config.queue_depth,
                     short_size(config.block_size), config.intra_op_parallelism);
}

}  // namespace deepspeed::aio
