// What goes out comes back, on every backend, whatever the sizes, offsets and addresses.
#include "deepspeed/aio/handle.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "tests/aio/backends.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

struct Way {
  int workers;
  bool single_submit, overlap_events;
};

class HandleTest : public ScratchFolder, public testing::WithParamInterface<std::tuple<BackendKind, Way>> {
 protected:
  AioConfig config() const {
    const Way& way = std::get<1>(GetParam());
    return {.block_size = 16384,
            .queue_depth = 4,
            .intra_op_parallelism = way.workers,
            .single_submit = way.single_submit,
            .overlap_events = way.overlap_events};
  }
  Handle handle{config(), std::get<0>(GetParam())};
};

TEST_P(HandleTest, WritesAndReadsOddStretchesAtOddPlaces) {
  constexpr size_t kSize = 300'000;
  std::vector<std::byte> expected(kSize);
  const File file = File::open(folder / "a", Mode::kReadWrite);
  file.resize(kSize);
  std::mt19937 draw(1);
  Buffer memory(kSize + 4096);
  for (int round = 0; round < 12; ++round) {
    const size_t offset = draw() % kSize, bytes = draw() % (kSize - offset) + 1;
    const size_t shift = round % 3 == 0 ? offset % 4096 : draw() % 4096;  // a third with the disk's alignment
    const auto out = some_bytes(bytes, draw());
    std::ranges::copy(out, memory.data() + shift);
    std::ranges::copy(out, expected.begin() + static_cast<std::ptrdiff_t>(offset));
    handle.sync_pwrite(memory.bytes().subspan(shift, bytes), file, static_cast<int64_t>(offset));
    std::ranges::fill(memory.bytes(), std::byte{0x5a});
    handle.sync_pread(memory.bytes().subspan(shift, bytes), file, static_cast<int64_t>(offset));
    ASSERT_TRUE(std::ranges::equal(memory.bytes().subspan(shift, bytes), out))
        << offset << " " << bytes << " " << shift;
    ASSERT_TRUE(shift == 0 || memory.data()[shift - 1] == std::byte{0x5a});
    ASSERT_EQ(memory.data()[shift + bytes], std::byte{0x5a});
  }
  EXPECT_EQ(contents(folder / "a"), expected);
}

TEST_P(HandleTest, RunsManyRequestsAndCountsThem) {
  constexpr size_t kTile = 40'000, kTiles = 20;
  const auto out = some_bytes(kTile * kTiles);
  std::vector<std::byte> in(out.size());
  const File file = File::unnamed(folder);
  for (size_t i = 0; i < kTiles; ++i)
    handle.async_pwrite(std::span(out).subspan(i * kTile, kTile), file, static_cast<int64_t>(i * kTile));
  EXPECT_EQ(handle.wait(), kTiles);
  std::vector<Ticket> tickets;
  for (size_t i = kTiles; i-- > 0;)
    tickets.push_back(
        handle.async_pread(std::span(in).subspan(i * kTile, kTile), file, static_cast<int64_t>(i * kTile)));
  handle.wait(tickets[7]);
  EXPECT_TRUE(handle.done(tickets[7]));
  EXPECT_EQ(handle.wait(), kTiles - 1);
  EXPECT_EQ(in, out);
  EXPECT_EQ(handle.wait(), 0u);
  EXPECT_THAT(error_of([&] { handle.wait(tickets[3]); }), HasSubstr("was waited for before"));
}

TEST_P(HandleTest, SerialReadsAndWritesDoTheSame) {
  const auto out = some_bytes(100'001);
  std::vector<std::byte> in(out.size());
  handle.write(out, File::open(folder / "a", Mode::kWrite));
  EXPECT_EQ(contents(folder / "a"), out);
  handle.read(in, File::open(folder / "a", Mode::kRead));
  EXPECT_EQ(in, out);
}

TEST_P(HandleTest, GoesThroughThePageCacheWhereThatIsWanted) {
  const auto out = some_bytes(77'777);
  std::vector<std::byte> in(out.size());
  handle.sync_pwrite(out, File::open(folder / "a", Mode::kWrite, Caching::kBuffered));
  handle.sync_pread(in, File::open(folder / "a", Mode::kRead, Caching::kBuffered));
  EXPECT_EQ(in, out);
}

TEST_P(HandleTest, TakesTheCallersDescriptor) {
  const auto out = some_bytes(50'000);
  put(folder / "a", out);
  for (int flags : {O_RDONLY, O_RDONLY | O_DIRECT}) {
    const int fd = ::open((folder / "a").c_str(), flags);
    if (fd < 0) continue;
    std::vector<std::byte> in(40'000);
    handle.sync_pread(in, File::borrow(fd, "mine"), 10'000);
    ::close(fd);
    EXPECT_TRUE(std::ranges::equal(in, std::span(out).subspan(10'000)));
  }
}

TEST_P(HandleTest, NothingIsARequest) {
  put(folder / "a", {});
  handle.sync_pread({}, File::open(folder / "a", Mode::kRead));
  handle.async_pwrite({}, File::open(folder / "b", Mode::kWrite), 1000);
  EXPECT_EQ(handle.wait(), 1u);
  EXPECT_EQ(contents(folder / "b").size(), 0u);
}

TEST_P(HandleTest, ClosesFilesWhenTheirRequestsAreOver) {
  put(folder / "a", some_bytes(50'000));
  std::vector<std::byte> in(50'000);
  handle.sync_pread(in, File::open(folder / "a", Mode::kRead));
  const size_t before = open_descriptors();
  for (size_t i = 0; i < 10; ++i)
    handle.async_pread(std::span(in).subspan(i * 5000, 5000), File::open(folder / "a", Mode::kRead));
  handle.wait();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(HandleTest, AFileThatEndsTooEarlyIsAnErrorThatSaysWhere) {
  put(folder / "a", some_bytes(100'000));
  std::vector<std::byte> in(200'000);
  const File file = File::open(folder / "a", Mode::kRead);
  EXPECT_THAT(error_of([&] { handle.sync_pread(in, file); }),
              AllOf(HasSubstr("cannot read"), HasSubstr("at offset 100000 of " + (folder / "a").string()),
                    HasSubstr("the file ends there")));
  EXPECT_THAT(error_of([&] { handle.sync_pread(std::span(in).first(10), file, 500'000); }),
              HasSubstr("at offset 500000"));
  handle.sync_pread(std::span(in).first(100'000), file);
  EXPECT_TRUE(std::ranges::equal(std::span(in).first(100'000), some_bytes(100'000)));
}

TEST_P(HandleTest, AFileCutBehindOurBackIsAnErrorAndNotAHang) {
  const File file = File::unnamed(folder);
  const auto out = some_bytes(100'000);
  std::vector<std::byte> in(100'000);
  handle.sync_pwrite(out, file);
  file.resize(8192);
  EXPECT_THAT(error_of([&] { handle.sync_pread(in, file); }), HasSubstr("at offset 8192 of "));
  handle.sync_pwrite(out, file);
  handle.sync_pread(in, file);
  EXPECT_EQ(in, out);
}

TEST_P(HandleTest, ADescriptorOfTheWrongModeIsAnError) {
  put(folder / "a", some_bytes(100'000));
  std::vector<std::byte> bytes(100'000);
  EXPECT_THAT(error_of([&] { handle.sync_pread(bytes, File::open(folder / "a", Mode::kWrite)); }),
              HasSubstr("Bad file descriptor"));
  EXPECT_THAT(error_of([&] { handle.sync_pwrite(bytes, File::open(folder / "a", Mode::kRead)); }),
              HasSubstr("Bad file descriptor"));
}

TEST_P(HandleTest, CanBeLeftWithRequestsInFlight) {
  const auto out = some_bytes(1 << 20);
  const File file = File::unnamed(folder);
  handle.sync_pwrite(out, file);
  for (int i = 0; i < 4; ++i) {
    std::vector<std::byte> in(out.size());
    Handle other(config(), std::get<0>(GetParam()));
    const size_t quarter = in.size() / 4;
    for (size_t k = 0; k < 4; ++k)
      other.async_pread(std::span(in).subspan(k * quarter, quarter), file, static_cast<int64_t>(k * quarter));
    if (i % 2 == 0) other.cancel();
  }
}

std::string name_of_case(const testing::TestParamInfo<HandleTest::ParamType>& info) {
  const auto& [kind, way] = info.param;
  return fmt::format("{}_{}{}{}", name_of(kind), way.workers, way.single_submit ? "_single_submit" : "",
                     way.overlap_events ? "" : "_sequential");
}

INSTANTIATE_TEST_SUITE_P(Every, HandleTest,
                         testing::Combine(testing::ValuesIn(backends_here()),
                                          testing::Values(Way{1, false, true}, Way{1, false, false},
                                                          Way{2, true, false}, Way{3, true, true})),
                         name_of_case);

TEST(Handle, RefusesImpossibleSettings) {
  EXPECT_THAT(error_of([] { Handle({.block_size = 0}); }), HasSubstr("block_size is 0"));
  EXPECT_THAT(error_of([] { Handle({.queue_depth = 1 << 20}); }), HasSubstr("queue_depth is 1048576"));
  EXPECT_THAT(error_of([] { Handle({.intra_op_parallelism = -1}); }),
              HasSubstr("intra_op_parallelism is -1"));
}

TEST(Handle, RefusesPlacesThatNoFileHas) {
  Handle handle;
  std::vector<std::byte> bytes(10);
  const File file = File::unnamed(std::filesystem::temp_directory_path());
  EXPECT_THAT(error_of([&] { handle.async_pread(bytes, file, -1); }), HasSubstr("offset -1"));
  EXPECT_THAT(error_of([&] { handle.async_pwrite(bytes, file, INT64_MAX - 5); }),
              HasSubstr("no place in a file"));
}

TEST(Backend, IsChosenByName) {
  EXPECT_EQ(parse_backend("io_uring"), BackendKind::kIoUring);
  EXPECT_EQ(choose_backend(BackendKind::kLibaio), BackendKind::kLibaio);
  EXPECT_NE(choose_backend(BackendKind::kAuto), BackendKind::kAuto);
  EXPECT_THAT(error_of([] { parse_backend("magic"); }), HasSubstr("auto, io_uring, libaio and thread_pool"));
}

TEST(Backend, ThatCannotBeHadIsAnErrorOfTheHandle) {
  const BackendFactory none = [](int) -> std::unique_ptr<Backend> { base::fail("no such backend today"); };
  EXPECT_EQ(error_of([&] { Handle({.intra_op_parallelism = 3}, none); }), "no such backend today");
}

}  // namespace
}  // namespace deepspeed::aio
