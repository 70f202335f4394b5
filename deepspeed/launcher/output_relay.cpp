#include "deepspeed/launcher/output_relay.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>

namespace deepspeed::launcher {
namespace {

constexpr size_t kMostWaiting = 64 << 10;
constexpr size_t kLongestLine = 4096;

}  // namespace

void LineTail::feed(std::string_view bytes) {
  for (char c : bytes) {
    if (c == '\n') {
      keep(std::move(current_));
      current_.clear();
    } else if (current_.size() < kLongestLine || c == '\r') {
      // A redraw begins with the first character after '\r', so that "\r\n" does not lose the line.
      if (!current_.empty() && current_.back() == '\r') current_.clear();
      current_.push_back(c);
    }
  }
}

void LineTail::keep(std::string line) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
  lines_.push_back(std::move(line));
  if (lines_.size() > capacity_) lines_.pop_front();
}

std::vector<std::string> LineTail::lines() const {
  LineTail whole = *this;
  if (!current_.empty()) whole.keep(current_);
  return {whole.lines_.begin(), whole.lines_.end()};
}

OutputRelay::~OutputRelay() {
  for (Stream& stream : streams_)
    if (stream.fd >= 0) ::close(stream.fd);
}

void OutputRelay::add(int fd) { streams_.push_back({fd, {}, LineTail(tail_lines_)}); }

void OutputRelay::say(std::string_view line) {
  flush_partial();
  waiting_.append(line).push_back('\n');
  write_out();
}

void OutputRelay::append_polled(std::vector<pollfd>& polled) const {
  if (!waiting_.empty()) polled.push_back({output_fd_, POLLOUT, 0});
  if (waiting_.size() >= kMostWaiting) return;
  for (const Stream& stream : streams_)
    if (stream.fd >= 0) polled.push_back({stream.fd, POLLIN, 0});
}

void OutputRelay::pump() {
  write_out();
  for (Stream& stream : streams_)
    if (stream.fd >= 0 && waiting_.size() < kMostWaiting) read_from(stream);
  write_out();
}

bool OutputRelay::has_partial() const {
  return std::ranges::any_of(streams_, [](const Stream& stream) { return !stream.partial.empty(); });
}

void OutputRelay::flush_partial() {
  for (Stream& stream : streams_) {
    waiting_ += stream.partial;
    stream.partial.clear();
  }
  write_out();
}

void OutputRelay::finish() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  for (Stream& stream : streams_)
    while (stream.fd >= 0 && std::chrono::steady_clock::now() < deadline) {
      const size_t before = waiting_.size() + stream.partial.size();
      read_from(stream);
      if (waiting_.size() + stream.partial.size() == before) break;
    }
  flush_partial();
  while (!waiting_.empty() && std::chrono::steady_clock::now() < deadline) {
    pollfd output{output_fd_, POLLOUT, 0};
    ::poll(&output, 1, 50);
    write_out();
  }
}

void OutputRelay::read_from(Stream& stream) {
  char buffer[16 << 10];
  const ssize_t length = ::read(stream.fd, buffer, sizeof(buffer));
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    ::close(stream.fd);
    stream.fd = -1;
    waiting_ += stream.partial;
    stream.partial.clear();
    return;
  }
  std::string_view bytes(buffer, static_cast<size_t>(length));
  stream.tail.feed(bytes);
  stream.partial += bytes;
  const size_t end = stream.partial.find_last_of("\n\r");
  const size_t whole =
      stream.partial.size() > kMostWaiting ? stream.partial.size() : end + 1;  // npos + 1 == 0
  waiting_.append(stream.partial, 0, whole);
  stream.partial.erase(0, whole);
}

void OutputRelay::write_out() {
  while (!waiting_.empty()) {
    pollfd output{output_fd_, POLLOUT, 0};
    if (::poll(&output, 1, 0) <= 0) return;
    // A pipe that polls writable takes PIPE_BUF bytes without blocking.
    const ssize_t written = ::write(output_fd_, waiting_.data(), std::min<size_t>(waiting_.size(), PIPE_BUF));
    if (written > 0) {
      waiting_.erase(0, static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      waiting_.clear();  // nobody reads any more; the ranks go on
    } else {
      return;
    }
  }
}

}  // namespace deepspeed::launcher
