#include "deepspeed/observe/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>

#include "deepspeed/base/error.h"
#include "deepspeed/observe/crc32c.h"

namespace deepspeed::observe {
namespace {

enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <class T>
void put_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string event_head(double wall_time) {
  std::string out;
  put_key(out, 1, kFixed64);
  put_little_endian(out, std::bit_cast<uint64_t>(wall_time));
  return out;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

AppendFile open_new(const MonitorFilesConfig& config) {
  const std::filesystem::path folder = std::filesystem::path(config.output_path) / config.job_name;
  prepare_folder(folder, "tensorboard");
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {"localhost"};
  const auto seconds = static_cast<int64_t>(now());
  constexpr int kMost = 10'000;  // files of one process in one second
  for (int n = 0; n < kMost; ++n) {
    AppendFile file(
        folder / fmt::format("events.out.tfevents.{:010}.{}.{}.{}", seconds, host.data(), ::getpid(), n),
        /*exclusive=*/true);
    if (file.is_open()) return file;
  }
  base::fail("tensorboard.output_path: '{}' has {} event files of this process already", folder.string(),
             kMost);
}

}  // namespace

std::string version_event(double wall_time) {
  std::string out = event_head(wall_time);
  put_bytes(out, 3, "brain.Event:2");
  return out;
}

std::string scalar_event(double wall_time, const Event& event) {
  std::string value;
  put_bytes(value, 1, event.name);
  put_key(value, 2, kFixed32);
  put_little_endian(value, std::bit_cast<uint32_t>(static_cast<float>(event.value)));
  std::string summary;
  put_bytes(summary, 1, value);
  std::string out = event_head(wall_time);
  if (event.step != 0) {
    put_key(out, 2, kVarint);
    put_varint(out, static_cast<uint64_t>(event.step));
  }
  put_bytes(out, 5, summary);
  return out;
}

std::string framed(std::string_view message) {
  std::string out;
  put_little_endian(out, static_cast<uint64_t>(message.size()));
  put_little_endian(out, masked_crc32c(out));
  out += message;
  put_little_endian(out, masked_crc32c(message));
  return out;
}

TensorboardMonitor::TensorboardMonitor(const MonitorFilesConfig& config) : file_(open_new(config)) {
  if (auto problem = file_.append(framed(version_event(now())))) base::fail("tensorboard: {}", *problem);
}

std::optional<std::string> TensorboardMonitor::write(const std::vector<Event>& events) {
  std::string records;
  for (const Event& event : events) records += framed(scalar_event(now(), event));
  return file_.append(records);
}

}  // namespace deepspeed::observe
