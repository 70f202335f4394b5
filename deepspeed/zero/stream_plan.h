// How bytes that lie scattered in files come into a ring of memory: arithmetic alone, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace deepspeed::zero {

/// Consecutive bytes of a file, which is named by its number.
struct StreamedRange {
  size_t file = 0;
  int64_t offset = 0;
  size_t bytes = 0;
};

/// One transfer: bytes of a file and where in the unit's memory they come to lie.
struct StreamedRead {
  size_t file = 0;
  int64_t offset = 0;
  size_t bytes = 0, place = 0;
};

/// How the ranges of a unit are read: whole pages, so that everything but the end of a file goes past the
/// page cache, and neighbours in one go.
struct UnitReads {
  std::vector<StreamedRead> reads;
  std::vector<size_t> places;  // where each range begins in the unit's memory
  size_t bytes = 0;            // of memory, whole pages
};
/// `file_bytes`: how long each file is.
UnitReads plan_reads(const std::vector<StreamedRange>& ranges, const std::vector<int64_t>& file_bytes);

/// Memory that is given out in one piece at a time and comes back in the same order.
class Ring {
 public:
  explicit Ring(size_t bytes) : bytes_(bytes) {}
  size_t bytes() const { return bytes_; }
  /// Where the piece begins; nothing while there is no room for it.
  std::optional<size_t> take(size_t bytes);
  /// The piece that was taken first of those that are out.
  void give_back();
  void clear() { out_.clear(); }

 private:
  struct Piece {
    size_t begin, end;
  };
  size_t bytes_;
  std::deque<Piece> out_;
};

}  // namespace deepspeed::zero
