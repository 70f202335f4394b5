// TensorBoard's event files: Event messages (protobuf) framed as TFRecords. The three messages that scalars
// need are written by hand: tensorboard/compat/proto/event.proto and summary.proto.
#pragma once

#include <string>
#include <string_view>

#include "deepspeed/observe/append_file.h"
#include "deepspeed/observe/monitor.h"

namespace deepspeed::observe {

/// The message that every file starts with: Event{wall_time, file_version: "brain.Event:2"}. `wall_time` in
/// seconds since 1970.
std::string version_event(double wall_time);
/// Event{wall_time, step, summary{value{tag, simple_value}}}.
std::string scalar_event(double wall_time, const Event& event);
/// A TFRecord: length (8 bytes), its masked CRC-32C, the message, its masked CRC-32C; little endian.
std::string framed(std::string_view message);

/// Appends to <output_path>/<job_name>/events.out.tfevents.<seconds>.<host>.<pid>.<n>, a new file each run.
class TensorboardMonitor : public Monitor {
 public:
  explicit TensorboardMonitor(const MonitorFilesConfig& config);
  std::optional<std::string> write(const std::vector<Event>& events) override;

 private:
  AppendFile file_;
};

}  // namespace deepspeed::observe
