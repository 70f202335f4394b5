// A disk that is really full: a tmpfs of 1 MiB in a mount namespace of a child's own.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <functional>

#include "deepspeed/aio/handle.h"
#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kNoMount = 77;

class FullDiskTest : public ScratchFolder {
 protected:
  // Runs `body` in a child where `folder` is the small tmpfs; what it returns is compared by the parent.
  std::string on_small_disk(const std::function<std::string()>& body) {
    int pipe[2];
    if (::pipe(pipe) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child == 0) {
      if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
          ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("none", folder.c_str(), "tmpfs", 0, "size=1m") != 0)
        ::_exit(kNoMount);
      const std::string text = body();
      ::_exit(::write(pipe[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    ::close(pipe[1]);
    std::string text(4096, '\0');
    size_t got = 0;
    for (ssize_t n = 0; (n = ::read(pipe[0], text.data() + got, text.size() - got)) > 0;)
      got += static_cast<size_t>(n);
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    mounted = !(WIFEXITED(status) && WEXITSTATUS(status) == kNoMount);
    return text.substr(0, got);
  }
  bool mounted = true;
};

TEST_F(FullDiskTest, WritingMoreThanFitsIsAnErrorAndTheHandleWorksOn) {
  const std::string said = on_small_disk([&] {
    Handle handle({.block_size = 65536, .queue_depth = 4});
    const auto out = some_bytes(4 << 20);
    const std::string error =
        error_of([&] { handle.sync_pwrite(out, File::open(folder / "a", Mode::kWrite)); });
    std::filesystem::remove(folder / "a");
    handle.sync_pwrite(std::span(out).first(300'000), File::open(folder / "b", Mode::kWrite));
    return error + (contents(folder / "b").size() == 300'000 ? "; then it works" : "; then it fails");
  });
  if (!mounted) GTEST_SKIP() << "no tmpfs can be mounted here";
  EXPECT_THAT(said,
              AllOf(HasSubstr((folder / "a").string()), HasSubstr("No space left on device; then it works")));
}

// Holes are taken only when they are written to.
TEST_F(FullDiskTest, AHoleThatCannotBeFilledIsAnErrorAtItsOffset) {
  const std::string said = on_small_disk([&] {
    Handle handle({.block_size = 65536, .queue_depth = 4});
    const File file = File::open(folder / "a", Mode::kWrite);
    file.resize(4 << 20);
    return error_of([&] { handle.sync_pwrite(some_bytes(4 << 20), file); });
  });
  if (!mounted) GTEST_SKIP() << "no tmpfs can be mounted here";
  EXPECT_THAT(
      said, AllOf(HasSubstr("cannot write"), HasSubstr("at offset "), HasSubstr("No space left on device")));
}

}  // namespace
}  // namespace deepspeed::aio
