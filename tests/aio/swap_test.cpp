// The use that handles are made for: states on disk, read, stepped and written back tile by tile, a rank a
// thread.
#include <gmock/gmock.h>

#include <array>
#include <cstring>
#include <thread>

#include "deepspeed/aio/handle.h"
#include "tests/aio/backends.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

class SwapTest : public ScratchFolder, public testing::WithParamInterface<BackendKind> {};

constexpr int64_t kTile = 30'000, kTiles = 12;  // floats of a tile; odd in bytes for the disk
constexpr size_t kTileBytes = kTile * sizeof(float);

std::span<float> floats(Buffer& buffer) { return {reinterpret_cast<float*>(buffer.data()), kTile}; }

// read(t + 1) | step(t) | write(t - 1), on three buffers in turn.
void step_all(Handle& handle, const File& file, std::array<Buffer, 3>& buffers) {
  std::array<Ticket, 3> reads{}, writes{};
  const auto at = [](int64_t tile) { return tile * static_cast<int64_t>(kTileBytes); };
  reads[0] = handle.async_pread(buffers[0].bytes(), file, at(0));
  for (int64_t t = 0; t < kTiles; ++t) {
    const auto now = static_cast<size_t>(t % 3), next = static_cast<size_t>((t + 1) % 3);
    if (t + 1 < kTiles) {
      if (writes[next] != 0) handle.wait(writes[next]);
      reads[next] = handle.async_pread(buffers[next].bytes(), file, at(t + 1));
    }
    handle.wait(reads[now]);
    for (float& value : floats(buffers[now])) value = value * 2 + 1;
    writes[now] = handle.async_pwrite(buffers[now].bytes(), file, at(t));
  }
  handle.wait();
}

void run_rank(const std::filesystem::path& folder, BackendKind kind, float first) {
  Handle handle({.block_size = 16384, .queue_depth = 8}, kind);
  const File file = File::unnamed(folder);
  std::array<Buffer, 3> buffers{Buffer(kTileBytes), Buffer(kTileBytes), Buffer(kTileBytes)};
  for (int64_t t = 0; t < kTiles; ++t) {
    for (int64_t i = 0; i < kTile; ++i)
      floats(buffers[0])[static_cast<size_t>(i)] = first + static_cast<float>(t);
    handle.sync_pwrite(buffers[0].bytes(), file, t * static_cast<int64_t>(kTileBytes));
  }
  for (int step = 0; step < 3; ++step) step_all(handle, file, buffers);
  for (int64_t t = 0; t < kTiles; ++t) {
    handle.sync_pread(buffers[0].bytes(), file, t * static_cast<int64_t>(kTileBytes));
    EXPECT_THAT(floats(buffers[0]), testing::Each((first + static_cast<float>(t)) * 8 + 7));
  }
}

TEST_P(SwapTest, RanksAsThreadsSwapTheirStatesWithoutMeeting) {
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 3; ++rank)
    ranks.emplace_back([&, rank] { run_rank(folder, GetParam(), static_cast<float>(100 * rank)); });
  for (std::thread& rank : ranks) rank.join();
  EXPECT_TRUE(std::filesystem::is_empty(folder)) << "files without names leave nothing";
}

// Neighbours that share a page: both parts must survive.
TEST_P(SwapTest, WritesThatMeetWithinAPageKeepEachOther) {
  Handle handle({.block_size = 16384, .queue_depth = 8, .intra_op_parallelism = 2}, GetParam());
  const auto out = some_bytes(200'000);
  for (int round = 0; round < 8; ++round) {
    const File file = File::open(folder / std::to_string(round), Mode::kWrite);
    std::vector<Buffer> pieces;
    for (size_t begin = 0; begin < out.size(); begin += 9'999) {
      const auto piece = std::span(out).subspan(begin, std::min<size_t>(9'999, out.size() - begin));
      pieces.emplace_back(piece.size());
      std::ranges::copy(piece, pieces.back().data());
      handle.async_pwrite(pieces.back().bytes(), file, static_cast<int64_t>(begin));
    }
    handle.wait();
    ASSERT_EQ(contents(folder / std::to_string(round)), out);
  }
}

TEST_P(SwapTest, OneHandleServesSeveralThreads) {
  Handle handle({.block_size = 8192, .queue_depth = 4, .intra_op_parallelism = 2}, GetParam());
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed)
    threads.emplace_back([&, seed] {
      const File file = File::unnamed(folder);
      const auto out = some_bytes(123'456, seed);
      std::vector<std::byte> in(out.size());
      for (int i = 0; i < 10; ++i) {
        handle.sync_pwrite(out, file);
        handle.sync_pread(in, file);
        ASSERT_EQ(in, out);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Every, SwapTest, testing::ValuesIn(backends_here()),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace deepspeed::aio
