#include "deepspeed/aio/measure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>

#include "deepspeed/aio/handle.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kGiB = 1024.0 * 1024 * 1024;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Not compressible, which matters to some disks.
void fill(std::span<std::byte> bytes, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (size_t i = 0; i < bytes.size(); i += sizeof(state)) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(bytes.data() + i, &state, std::min(sizeof(state), bytes.size() - i));
  }
}

/// One task: a handle, a buffer, and the files of its iterations.
class Task {
 public:
  Task(const MeasureOptions& options, size_t number, const Say& say)
      : options_(options), number_(number), say_(say), handle_(options.config, options.backend) {
    buffer_ = Buffer(static_cast<size_t>(options.io_size),
                     options.lock_memory ? Buffer::Lock::kWherePossible : Buffer::Lock::kNo);
    fill(buffer_.bytes(), number);
    for (int i = 0; i < options.warmup_loops + options.loops; ++i) prepare(measured_file(options, number, i));
  }

  void run(int iteration) {
    const fs::path path = measured_file(options_, number_, iteration);
    const auto start = Clock::now();
    const File file = File::open(path, options_.read ? Mode::kRead : Mode::kWrite);
    const bool serial = options_.engine == Engine::kBasic;
    if (options_.read)
      serial ? handle_.read(buffer_.bytes(), file) : handle_.sync_pread(buffer_.bytes(), file);
    else
      write(file, path, serial);
    seconds.push_back(seconds_since(start));
    if (options_.validate) compare(path);
  }

  std::vector<double> seconds;

 private:
  // A file that could not be written whole is of no use to anyone.
  void write(const File& file, const fs::path& path, bool serial) {
    try {
      serial ? handle_.write(buffer_.bytes(), file) : handle_.sync_pwrite(buffer_.bytes(), file);
    } catch (...) {
      std::error_code none;
      fs::remove(path, none);
      throw;
    }
  }

  void prepare(const fs::path& path) {
    std::error_code none;
    if (!options_.read) {
      fs::remove(path, none);
      DS_CHECK(!none, "cannot remove '{}' of an earlier run: {}", path.string(), none.message());
      return;
    }
    if (fs::is_regular_file(path, none) && fs::file_size(path, none) == buffer_.size()) return;
    say_(fmt::format("[Start] Create {} of {} bytes", path.string(), buffer_.size()));
    const File file = File::open(path, Mode::kWrite);
    file.resize(options_.io_size);
    handle_.sync_pwrite(buffer_.bytes(), file);
    say_(fmt::format("[Done] Create read file of {} bytes", buffer_.size()));
  }

  // With what an ordinary read says.
  void compare(const fs::path& path) {
    const File file = File::open(path, Mode::kRead, Caching::kBuffered);
    if (file.size() != options_.io_size)
      base::fail("{} has {} bytes instead of {}", path.string(), file.size(), buffer_.size());
    std::vector<std::byte> piece(std::min<size_t>(buffer_.size(), size_t{1} << 20));
    for (size_t begin = 0; begin < buffer_.size(); begin += piece.size()) {
      const auto mine = buffer_.bytes().subspan(begin, std::min(piece.size(), buffer_.size() - begin));
      const auto its = std::span(piece).first(mine.size());
      handle_.read(its, file, static_cast<int64_t>(begin));
      const auto [differs, at] = std::ranges::mismatch(mine, its);
      if (differs != mine.end())
        base::fail("{} and memory differ at offset {}", path.string(),
                   begin + static_cast<size_t>(differs - mine.begin()));
    }
    say_(fmt::format("Pass: correctness of deepspeed_aio_{}() using read()",
                     options_.read ? "read" : "write"));
  }

  const MeasureOptions& options_;
  size_t number_;
  const Say& say_;
  Handle handle_;
  Buffer buffer_;
};

// Calls `action(i)` for every task at once; the first Error, when all are over.
void in_parallel(size_t tasks, const std::function<void(size_t)>& action) {
  std::vector<std::exception_ptr> failures(tasks);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < tasks; ++i)
    threads.emplace_back([&, i] {
      try {
        action(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void check(const MeasureOptions& options) {
  DS_CHECK(!options.folders.empty() && options.io_size > 0, "nothing to read or write");
  DS_CHECK(options.loops > 0 && options.warmup_loops >= 0,
           "loops must be at least 1, warm-up loops at least 0");
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  DS_CHECK(static_cast<double>(options.io_size) * static_cast<double>(options.folders.size()) <= memory,
           "{} buffers of {} bytes are more than this machine's memory", options.folders.size(),
           options.io_size);
  for (const fs::path& folder : options.folders)
    DS_CHECK(fs::is_directory(folder), "{} is no folder", folder.string());
}

}  // namespace

Measurement measure(const MeasureOptions& options, const Say& say) {
  check(options);
  std::mutex one_at_a_time;
  const Say line = [&](const std::string& text) {
    const std::lock_guard lock(one_at_a_time);
    say(text);
  };
  std::vector<std::unique_ptr<Task>> tasks(options.folders.size());
  line("tid 0: running pre-task");
  in_parallel(tasks.size(), [&](size_t i) {
    tasks[i] = std::make_unique<Task>(options, i, line);
    line(fmt::format("tid {}: {} file {} of size {} bytes from buffer on device cpu", i,
                     options.read ? "Read" : "Write", measured_file(options, i, 0).string(),
                     options.io_size));
  });
  const int loops = options.warmup_loops + options.loops;
  const int skipped = options.include_warmup_time ? 0 : options.warmup_loops;
  Measurement result;
  for (int i = 0; i < loops; ++i) {
    line(fmt::format("tid 0: running main task {}", i));
    const auto start = Clock::now();
    in_parallel(tasks.size(), [&](size_t t) { tasks[t]->run(i); });
    if (i >= skipped) result.e2e_seconds += seconds_since(start);
  }
  line("tid 0: running post-task");
  line(fmt::format("tid 0: task_latency_sec = [{}]", fmt::join(tasks[0]->seconds, ", ")));
  for (const auto& task : tasks)
    result.task_seconds = std::max(
        result.task_seconds, std::accumulate(task->seconds.begin() + skipped, task->seconds.end(), 0.0));
  result.bytes = options.io_size * static_cast<int64_t>(tasks.size()) * (loops - skipped);
  return result;
}

double Measurement::task_speed() const { return static_cast<double>(bytes) / task_seconds / kGiB; }
double Measurement::e2e_speed() const { return static_cast<double>(bytes) / e2e_seconds / kGiB; }

std::string to_text(const Measurement& measurement, bool read) {
  const char* what = read ? "Read" : "Write";
  return fmt::format(
      "Task {0} Latency = {1} sec\nTask {0} Speed = {2} GB/sec\nE2E {0} Latency = {3} sec\nE2E {0} Speed = "
      "{4} GB/sec\n",
      what, measurement.task_seconds, measurement.task_speed(), measurement.e2e_seconds,
      measurement.e2e_speed());
}

fs::path measured_file(const MeasureOptions& options, size_t task, int iteration) {
  return options.folders[task] / fmt::format("_aio_{}_{}.pt.{}_{}", options.read ? "read" : "write",
                                             options.io_size, task,
                                             options.different_file_each_iteration ? iteration : 0);
}

int64_t parse_size(const std::string& text, const std::string& what) {
  int64_t number = 0, unit = 1;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (rest + 1 == end) unit = *rest == 'K' ? 1 << 10 : *rest == 'M' ? 1 << 20 : *rest == 'G' ? 1 << 30 : 0;
  if (error != std::errc() || rest + 1 < end || unit == 0 || number <= 0 ||
      number > (int64_t{1} << 60) / unit)
    base::fail("{} must be a number of bytes such as 4096, 512K, 400M or 1G, not '{}'", what, text);
  return number * unit;
}

}  // namespace deepspeed::aio
