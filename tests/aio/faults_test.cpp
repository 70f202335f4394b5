// Disks that fail, fill up, or answer in pieces.
#include "deepspeed/aio/faulty.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

#include "deepspeed/aio/handle.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kBlock = 8192;
constexpr AioConfig kConfig{.block_size = kBlock, .queue_depth = 4};

class FaultsTest : public ScratchFolder {
 protected:
  Handle faulty(FaultScript script, const AioConfig& config = kConfig) {
    return Handle(config, with_faults(make_thread_pool, std::move(script)));
  }
  // Fails once, at the n-th transfer.
  Handle failing_at(int64_t n, int error) {
    return faulty([n, error](const Transfer&, int64_t number) -> std::optional<Fault> {
      if (number != n) return std::nullopt;
      return Fault{.error = error};
    });
  }
  std::vector<std::byte> out = some_bytes(20 * kBlock);
  std::vector<std::byte> in = std::vector<std::byte>(out.size());
};

TEST_F(FaultsTest, ADiskErrorNamesFileAndOffset) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  Handle handle = failing_at(27, EIO);  // 20 writes, then the 8th read
  handle.sync_pwrite(out, file);
  EXPECT_EQ(error_of([&] { handle.sync_pread(in, file); }),
            "cannot read 8192 bytes at offset 57344 of " + (folder / "a").string() + ": Input/output error");
  handle.sync_pread(in, file);
  EXPECT_EQ(in, out) << "the handle works again";
}

TEST_F(FaultsTest, AFullDiskIsAnErrorWhereverItShows) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  for (int64_t n : {0, 1, 10, 19}) {
    Handle handle = failing_at(n, ENOSPC);
    EXPECT_THAT(error_of([&] { handle.sync_pwrite(out, file); }),
                AllOf(HasSubstr("cannot write 8192 bytes at offset " + std::to_string(n * 8192)),
                      HasSubstr("No space left on device")));
    handle.sync_pwrite(out, file);
    EXPECT_EQ(contents(folder / "a"), out);
  }
}

TEST_F(FaultsTest, ShortTransfersAreResumed) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  for (size_t at_most : {size_t{1000}, size_t{4096}, size_t{5000}}) {
    Handle handle = faulty([&](const Transfer&, int64_t) { return Fault{.at_most = at_most}; });
    handle.sync_pwrite(out, file);
    EXPECT_EQ(contents(folder / "a"), out);
    std::ranges::fill(in, std::byte{0});
    handle.sync_pread(in, file);
    EXPECT_EQ(in, out);
  }
}

TEST_F(FaultsTest, InterruptedTransfersAreRepeated) {
  const File file = File::unnamed(folder);
  for (int error : {EINTR, EAGAIN}) {
    Handle handle = faulty([error](const Transfer&, int64_t number) -> std::optional<Fault> {
      if (number % 3 == 0) return std::nullopt;
      return Fault{.error = error};
    });
    handle.sync_pwrite(out, file);
    handle.sync_pread(in, file);
    EXPECT_EQ(in, out);
  }
}

TEST_F(FaultsTest, AnInterruptionWithoutEndIsAnError) {
  const File file = File::unnamed(folder);
  Handle handle = faulty([](const Transfer&, int64_t) { return Fault{.error = EAGAIN}; });
  EXPECT_THAT(error_of([&] { handle.sync_pwrite(out, file); }),
              HasSubstr("Resource temporarily unavailable"));
}

TEST_F(FaultsTest, AWriteThatTakesNothingIsAnError) {
  const File file = File::unnamed(folder);
  Handle handle = faulty([](const Transfer&, int64_t) { return Fault{.at_most = 0}; });
  EXPECT_THAT(error_of([&] { handle.sync_pwrite(out, file); }), HasSubstr("nothing more was taken"));
}

TEST_F(FaultsTest, AFileSystemThatRefusesDirectTransfersIsServedThroughThePageCache) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  if (!file.geometry().direct) GTEST_SKIP() << "O_DIRECT is refused in " << folder;
  const int direct = file.direct_fd();
  Handle handle = faulty([direct](const Transfer& transfer, int64_t) -> std::optional<Fault> {
    if (transfer.fd != direct) return std::nullopt;
    return Fault{.error = EINVAL};
  });
  testing::internal::CaptureStderr();
  Buffer memory(out.size());
  std::ranges::copy(out, memory.data());
  for (int i = 0; i < 3; ++i) handle.sync_pwrite(memory.bytes(), file);
  handle.sync_pread(in, file);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(in, out);
  EXPECT_THAT(said, HasSubstr((folder / "a").string() + ": the file system refuses direct transfers"));
  EXPECT_EQ(said.find("refuses"), said.rfind("refuses")) << "said once";
}

TEST_F(FaultsTest, TheFirstFailureByOffsetIsReportedAndTheRestIsLeftAlone) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  std::atomic<int64_t> most{0};
  Handle handle = faulty([&](const Transfer&, int64_t number) {
    most = std::max(most.load(), number);
    return Fault{.error = EIO};
  });
  EXPECT_THAT(error_of([&] { handle.sync_pwrite(out, file); }), HasSubstr("at offset 0 of"));
  EXPECT_LT(most, 4);
}

TEST_F(FaultsTest, OneFailedRequestDoesNotHurtTheOthers) {
  const File file = File::unnamed(folder);
  Handle handle = failing_at(20, EIO);
  handle.async_pwrite(out, file, 0);  // transfers 0 to 19
  const Ticket failed = handle.async_pwrite(std::span(out).first(kBlock), file, 1 << 20);  // the 20th
  const Ticket good = handle.async_pwrite(out, file, 2 << 20);
  handle.wait(good);
  EXPECT_THAT(error_of([&] { handle.wait(failed); }), HasSubstr("at offset 1048576"));
  EXPECT_EQ(handle.wait(), 1u);
  handle.sync_pread(in, file);
  EXPECT_EQ(in, out);
}

TEST_F(FaultsTest, WaitingForAllNamesTheFirstAndCountsTheRest) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  std::atomic<bool> broken{true};
  Handle handle = faulty([&](const Transfer&, int64_t) { return Fault{.error = broken ? EIO : 0}; });
  for (int i = 0; i < 3; ++i) handle.async_pwrite(std::span(out).first(kBlock), file, i * 8192);
  EXPECT_THAT(error_of([&] { handle.wait(); }),
              AllOf(HasSubstr("at offset 0 of"), HasSubstr("(3 of 3 requests failed)")));
  broken = false;
  EXPECT_EQ(handle.wait(), 0u);
  handle.sync_pwrite(out, file);
}

// A script that waits keeps its transfer in flight; the memory must not be given back before it is over.
TEST_F(FaultsTest, TheHandleIsNotGoneBeforeTheLastTransferIsOver) {
  const File file = File::unnamed(folder);
  faulty([](const Transfer&, int64_t) { return std::nullopt; }).sync_pwrite(out, file);
  std::promise<void> started, let_go;
  auto gate = let_go.get_future().share();
  auto begun = started.get_future().share();
  std::atomic<bool> gone{false};
  std::thread owner([&] {
    Handle handle = faulty([&, gate](const Transfer&, int64_t number) -> std::optional<Fault> {
      if (number == 0) started.set_value();
      gate.wait();
      return std::nullopt;
    });
    handle.async_pread(in, file);
    begun.wait();  // otherwise it could be given up before it starts
  });
  std::thread watcher([&] {
    owner.join();
    gone = true;
  });
  begun.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(gone);
  let_go.set_value();
  watcher.join();
  EXPECT_TRUE(gone);
  EXPECT_TRUE(std::equal(in.begin(), in.begin() + kBlock, out.begin())) << "what was in flight has arrived";
}

TEST_F(FaultsTest, CancellingLeavesAHandleThatWorks) {
  const File file = File::unnamed(folder);
  Handle handle = faulty([](const Transfer&, int64_t) { return std::nullopt; });
  handle.sync_pwrite(out, file);
  for (size_t i = 0; i < 20; ++i)
    handle.async_pread(std::span(in).subspan(i * kBlock, kBlock), file, static_cast<int64_t>(i * kBlock));
  handle.cancel();
  EXPECT_EQ(handle.wait(), 0u);
  handle.sync_pread(in, file);
  EXPECT_EQ(in, out);
}

TEST_F(FaultsTest, CancellingWhenNothingIsUnderWayLeavesWhatComesLaterAlone) {
  const File file = File::unnamed(folder);
  Handle handle = faulty([](const Transfer&, int64_t) { return std::nullopt; });
  handle.sync_pwrite(out, file);
  for (int i = 0; i < 200; ++i) {
    handle.cancel();
    handle.sync_pread(in, file);  // an Error, if the worker took the cancelling for later than it was
    EXPECT_EQ(in, out);
  }
}

TEST_F(FaultsTest, BouncedBlocksSurviveShortTransfers) {
  const File file = File::open(folder / "a", Mode::kReadWrite);
  Buffer memory(out.size() + 1);
  const auto odd = memory.bytes().subspan(1);
  std::ranges::copy(out, odd.begin());
  Handle handle = faulty([](const Transfer&, int64_t) { return Fault{.at_most = 4096}; });
  handle.sync_pwrite(odd, file);
  EXPECT_EQ(contents(folder / "a"), out);
  std::ranges::fill(odd, std::byte{0});
  handle.sync_pread(odd, file);
  EXPECT_TRUE(std::ranges::equal(odd, out));
}

}  // namespace
}  // namespace deepspeed::aio
