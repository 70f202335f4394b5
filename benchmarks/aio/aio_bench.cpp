// Reads or writes a whole file through a handle, tile after tile from one thread as a swapper does it, and
// prints one line of JSON: bytes, seconds, and processor seconds of this process meanwhile.
//   aio_bench FILE read|write BLOCK DEPTH [BACKEND]
// benchmarks/peers/aio.py runs it beside fio.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "deepspeed/aio/handle.h"
#include "deepspeed/base/error.h"

namespace {

using namespace deepspeed;

// Enough for one tile to be queued while another is under way.
constexpr size_t kTiles = 3;
// At least; a whole queue of blocks where that is more.
constexpr int64_t kTileBytes = int64_t{16} << 20;

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Tile {
  aio::Buffer memory;
  aio::Ticket ticket = 0;
};

// `size` bytes from the file's start, a tile at a time.
void transfer(aio::Handle& handle, const aio::File& file, bool reading, int64_t size,
              std::array<Tile, kTiles>& tiles) {
  size_t next = 0;
  for (int64_t offset = 0; offset < size; next = (next + 1) % kTiles) {
    Tile& tile = tiles[next];
    if (tile.ticket != 0) handle.wait(tile.ticket);
    const auto bytes =
        tile.memory.bytes().first(std::min<size_t>(tile.memory.size(), static_cast<size_t>(size - offset)));
    tile.ticket =
        reading ? handle.async_pread(bytes, file, offset) : handle.async_pwrite(bytes, file, offset);
    offset += static_cast<int64_t>(bytes.size());
  }
  handle.wait();
}

void run(const char* path, bool reading, const aio::AioConfig& config, aio::BackendKind backend) {
  const auto file = aio::File::open(path, reading ? aio::Mode::kRead : aio::Mode::kWrite);
  DS_CHECK(file.geometry().direct,
           "{}: the file system refuses direct transfers, there is nothing to compare", path);
  aio::Handle handle(config, backend);
  std::array<Tile, kTiles> tiles;
  for (Tile& tile : tiles) {
    tile.memory =
        aio::Buffer(static_cast<size_t>(std::max(kTileBytes, config.block_size * config.queue_depth)));
    std::ranges::fill(tile.memory.bytes(), std::byte{1});  // pages are there before the clock runs
  }
  const int64_t size = file.size();
  const double before = processor_seconds();
  const auto start = std::chrono::steady_clock::now();
  transfer(handle, file, reading, size, tiles);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  fmt::print(R"({{"backend":"{}","bytes":{},"seconds":{:.6f},"cpu":{:.6f}}})"
             "\n",
             aio::name_of(aio::choose_backend(backend)), size, wall.count(), processor_seconds() - before);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || (std::string_view(argv[2]) != "read" && std::string_view(argv[2]) != "write")) {
    fmt::print(stderr, "usage: aio_bench FILE read|write BLOCK DEPTH [BACKEND]\n");
    return 2;
  }
  try {
    const aio::AioConfig config{.block_size = std::atoll(argv[3]), .queue_depth = std::atoi(argv[4])};
    run(argv[1], std::string_view(argv[2]) == "read", config,
        aio::parse_backend(argc > 5 ? argv[5] : "auto"));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "aio_bench: {}\n", error.what());
    return 1;
  }
}
