#include "deepspeed/aio/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <optional>

#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FileTest : public ScratchFolder {};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST_F(FileTest, IsClosedWithItsLastCopy) {
  std::optional<File> first = File::open(folder / "a", Mode::kWrite);
  std::optional<File> second = first;
  const int direct = first->direct_fd(), buffered = first->buffered_fd();
  first.reset();
  EXPECT_TRUE(is_open(direct) && is_open(buffered));
  second.reset();
  EXPECT_FALSE(is_open(direct) || is_open(buffered));
}

TEST_F(FileTest, ThatIsMissingOrNoFileIsAnErrorThatNamesIt) {
  EXPECT_THAT(error_of([&] { File::open(folder / "none", Mode::kRead); }),
              AllOf(HasSubstr("none"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { File::open(folder, Mode::kRead); }),
              HasSubstr("neither a regular file nor a block device"));
  EXPECT_THAT(error_of([&] { File::open(folder, Mode::kWrite); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of([&] { File::unnamed(folder / "none"); }), HasSubstr("none"));
  EXPECT_THAT(error_of([&] { File::open("/dev/null", Mode::kWrite); }), HasSubstr("neither a regular file"));
}

TEST_F(FileTest, AFifoAnswersAtOnce) {
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { File::open(folder / "fifo", Mode::kRead); }),
              HasSubstr("neither a regular file"));
  EXPECT_THAT(error_of([&] { File::open(folder / "fifo", Mode::kWrite); }), HasSubstr("fifo"));
}

TEST_F(FileTest, NewFilesAreTheOwnersAlone) {
  File::open(folder / "a", Mode::kWrite);
  EXPECT_EQ(std::filesystem::status(folder / "a").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(FileTest, WritingKeepsWhatIsThere) {
  put(folder / "a", some_bytes(100));
  EXPECT_EQ(File::open(folder / "a", Mode::kReadWrite).size(), 100);
}

TEST_F(FileTest, TransfersThroughIoUringMayWaitForTheDisk) {
  const File file = File::open(folder / "a", Mode::kWrite);
  for (int fd : {file.direct_fd(), file.buffered_fd()}) EXPECT_EQ(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(FileTest, WithoutANameLeavesNothingBehind) {
  const File file = File::unnamed(folder);
  file.reserve(10'000);
  EXPECT_EQ(file.size(), 10'000);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(FileTest, ReservingNeverShrinks) {
  put(folder / "a", some_bytes(5000));
  const File file = File::open(folder / "a", Mode::kWrite);
  file.reserve(100);
  EXPECT_EQ(file.size(), 5000);
  file.reserve(9000);
  EXPECT_EQ(file.size(), 9000);
  file.resize(10);
  EXPECT_EQ(contents(folder / "a").size(), 10u);
}

TEST_F(FileTest, ABorrowedDescriptorStaysOpen) {
  const int fd = ::open((folder / "a").c_str(), O_RDWR | O_CREAT, 0600);
  { EXPECT_EQ(File::borrow(fd, "mine").buffered_fd(), fd); }
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
  EXPECT_THAT(error_of([&] { File::borrow(fd, "mine"); }),
              AllOf(HasSubstr("mine"), HasSubstr("Bad file descriptor")));
}

TEST_F(FileTest, ABorrowedDirectDescriptorGetsAPartnerForOddBytes) {
  put(folder / "a", some_bytes(5000));
  const int fd = ::open((folder / "a").c_str(), O_RDWR | O_DIRECT);
  if (fd < 0) GTEST_SKIP() << "O_DIRECT is refused in " << folder;
  {
    const File file = File::borrow(fd, "mine");
    EXPECT_EQ(file.direct_fd(), fd);
    EXPECT_NE(file.buffered_fd(), fd);
    EXPECT_EQ(file.size(), 5000);
  }
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

TEST_F(FileTest, DirectAccessCanBeGivenUp) {
  const File file = File::open(folder / "a", Mode::kWrite);
  EXPECT_FALSE(File::open(folder / "a", Mode::kWrite, Caching::kBuffered).direct_refused());
  file.give_up_direct();
  EXPECT_TRUE(file.direct_refused());
  EXPECT_FALSE(file.geometry().direct);
  EXPECT_EQ(file.direct_fd(), file.buffered_fd());
}

}  // namespace
}  // namespace deepspeed::aio
