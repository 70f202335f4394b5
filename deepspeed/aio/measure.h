// How fast folders are read and written through handles: what the command ds_io does (DeepSpeed's
// nvme/io_engine.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "deepspeed/aio/backend.h"
#include "deepspeed/aio/config.h"

namespace deepspeed::aio {

enum class Engine {
  kHandle,  // aio_handle: asynchronous requests, on all workers
  kBasic,   // aio_basic: serial ones, on one
};

struct MeasureOptions {
  /// One task each, which is a thread with a handle and a file of its own.
  std::vector<std::filesystem::path> folders;
  /// Bytes of a file.
  int64_t io_size = 0;
  bool read = false;
  Engine engine = Engine::kHandle;
  AioConfig config;
  BackendKind backend = BackendKind::kAuto;
  /// Compare file and memory after every operation.
  bool validate = false;
  /// Page-locked memory, where it can be had.
  bool lock_memory = true;
  int loops = 3;
  /// Operations before those that count.
  int warmup_loops = 1;
  bool include_warmup_time = false;
  bool different_file_each_iteration = false;
};

struct Measurement {
  /// Seconds of the slowest task: in its own operations, and until all tasks were done with theirs.
  double task_seconds = 0, e2e_seconds = 0;
  /// Bytes moved by all tasks meanwhile.
  int64_t bytes = 0;
  /// GiB a second, which DeepSpeed calls GB/sec.
  double task_speed() const;
  double e2e_speed() const;
};

/// Takes lines of progress, from one thread at a time.
using Say = std::function<void(const std::string& line)>;

/// Makes files to read where they are missing, replaces files to write, and leaves both. Errors: those of
/// handles, files that differ under `validate`, and buffers that this machine has no memory for.
Measurement measure(const MeasureOptions& options, const Say& say);

/// "Task Read Latency = ... sec" and the three lines that follow it in DeepSpeed.
std::string to_text(const Measurement& measurement, bool read);

/// The file of a task's iteration in `folder`.
std::filesystem::path measured_file(const MeasureOptions& options, size_t task, int iteration);

/// "400M" in bytes; K, M and G are powers of 1024. `what` names the option in the Error for anything else
/// than a positive number.
int64_t parse_size(const std::string& text, const std::string& what);

}  // namespace deepspeed::aio
