// How a request is cut into parts for workers and blocks for the kernel: arithmetic alone, no I/O.
//
// Direct transfers need aligned file offsets, sizes and addresses. What a request has before its first and
// behind its last aligned offset goes through the page cache, less than 4096 bytes each. A padded direct
// write of such an edge would have to read what lies beside it first, and two requests that meet within one
// sector would overwrite each other; the page cache writes single bytes. No page is transferred both ways,
// since direct blocks begin and end at whole pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace deepspeed::aio {

/// The unit of the page cache; a multiple of every disk's sector.
constexpr size_t kPage = 4096;
/// Blocks of requests whose memory is not aligned are copied through buffers of this size.
constexpr size_t kBounceBytes = size_t{1} << 20;

/// What a file asks of its transfers.
struct Geometry {
  /// Past the page cache. false: any offset, size and address will do.
  bool direct = false;
  /// Alignment of file offsets and sizes, at least kPage, and of addresses. Powers of two.
  size_t offset_align = kPage;
  size_t memory_align = 512;
};

/// How a block travels.
enum class Route {
  kDirect,    // between the caller's memory and the disk
  kBounce,    // the same by way of an aligned buffer
  kBuffered,  // through the page cache
};

/// Bytes [begin, begin + bytes) of a request.
struct Range {
  size_t begin = 0;
  size_t bytes = 0;
  bool operator==(const Range&) const = default;
};

struct Block {
  Range range;
  Route route = Route::kBuffered;
  bool operator==(const Block&) const = default;
};

/// The blocks of one part, in order of file offsets, without holding them: at(i) is computed.
class BlockPlan {
 public:
  /// `part` of a request whose byte 0 lies at `address` and belongs at file offset `offset`.
  BlockPlan(uintptr_t address, int64_t offset, Range part, size_t block_size, const Geometry& geometry);
  size_t count() const { return (head_ > 0) + middle_blocks_ + (tail_ > 0); }
  Block at(size_t i) const;

 private:
  size_t begin_, head_, middle_, tail_, block_, middle_blocks_;
  Route route_;
};

/// Cuts a request into at most `parts` contiguous ranges of nearly equal size that meet at file offsets which
/// are multiples of `align`. Ranges are never empty; a request without bytes has none.
std::vector<Range> split(int64_t offset, size_t bytes, int parts, size_t align);

}  // namespace deepspeed::aio
