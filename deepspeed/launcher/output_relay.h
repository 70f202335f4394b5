// Passes the ranks' standard error on, whole lines at a time, and remembers the last lines of each rank.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

struct pollfd;

namespace deepspeed::launcher {

/// The last lines of a stream, as a terminal would show them: of a line redrawn with '\r' only the last
/// state.
class LineTail {
 public:
  explicit LineTail(size_t capacity) : capacity_(capacity) {}
  void feed(std::string_view bytes);
  /// Oldest first; an unfinished line counts.
  std::vector<std::string> lines() const;

 private:
  void keep(std::string line);
  size_t capacity_;
  std::deque<std::string> lines_;
  std::string current_;
};

/// Never blocks: what the reader of `output_fd` has not taken yet waits here, and while much waits, the
/// ranks' pipes are left alone, so that the ranks wait in their turn. The poll loop is the caller's.
class OutputRelay {
 public:
  OutputRelay(int output_fd, size_t tail_lines) : output_fd_(output_fd), tail_lines_(tail_lines) {}
  ~OutputRelay();
  OutputRelay(const OutputRelay&) = delete;
  OutputRelay& operator=(const OutputRelay&) = delete;

  /// Takes over a non-blocking read end; streams are numbered 0, 1, ... in the order of their adding.
  void add(int fd);
  /// A line of the launcher's own, in order with the ranks' lines.
  void say(std::string_view line);
  /// What to poll for now: appended to `polled`.
  void append_polled(std::vector<pollfd>& polled) const;
  /// Reads and writes what is ready. Cheap when nothing is.
  void pump();
  /// True while a line that has no end yet waits; call flush_partial when nothing came for a while.
  bool has_partial() const;
  void flush_partial();
  /// The end of the run: reads what is left in the pipes and waits up to a second for the output's reader.
  void finish();
  std::vector<std::string> tail(size_t stream) const { return streams_[stream].tail.lines(); }

 private:
  struct Stream {
    int fd;
    std::string partial;
    LineTail tail;
  };
  void read_from(Stream& stream);
  void write_out();
  int output_fd_;
  size_t tail_lines_;
  std::vector<Stream> streams_;
  std::string waiting_;
};

}  // namespace deepspeed::launcher
