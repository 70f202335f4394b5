#include "deepspeed/base/file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

struct InAFolder : ::testing::Test {
  InAFolder() {
    std::string pattern = (fs::temp_directory_path() / "ds_base_XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~InAFolder() override {
    set_write_fault(nullptr);
    fs::remove_all(folder);
  }
  size_t entries() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {})); }
  fs::path folder;
};
using File = InAFolder;

TEST_F(File, WhatIsWrittenIsRead) {
  const std::string text("with\0zero\nand ü", 16);
  write_text_file(folder / "a", text);
  EXPECT_EQ(read_text_file(folder / "a"), text);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, AnEmptyFileIsEmptyTextAndAnEmptyMapping) {
  write_text_file(folder / "a", "");
  EXPECT_EQ(read_text_file(folder / "a"), "");
  EXPECT_TRUE(MappedFile(folder / "a").bytes().empty());
}

TEST_F(File, ReadingNamesTheFileAndTheReason) {
  EXPECT_THAT(error_of([&] { read_text_file(folder / "none"); }),
              AllOf(HasSubstr("/none"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { MappedFile{folder}; }),
              AllOf(HasSubstr(folder.string()), HasSubstr("directory")));
  EXPECT_THAT(error_of([] { MappedFile("/dev/zero"); }), HasSubstr("not a regular file"));
}

TEST_F(File, AFileLargerThanItsLimitIsRefused) {
  write_text_file(folder / "a", "12345");
  EXPECT_EQ(read_text_file(folder / "a", 5), "12345");
  EXPECT_THAT(error_of([&] { read_text_file(folder / "a", 4); }),
              AllOf(HasSubstr("5 bytes"), HasSubstr("4 allowed")));
}

TEST_F(File, AMappingOutlivesTheNameAndMoves) {
  write_text_file(folder / "a", "abc");
  write_text_file(folder / "b", "defg");
  MappedFile first(folder / "a"), second(folder / "b");
  fs::remove(folder / "a");
  MappedFile third(std::move(first));
  EXPECT_TRUE(first.bytes().empty());  // NOLINT(bugprone-use-after-move): that is the claim
  second = std::move(third);
  ASSERT_EQ(second.bytes().size(), 3u);
  EXPECT_EQ(second.bytes()[2], std::byte{'c'});
  EXPECT_EQ(second.path(), folder / "a");
}

TEST_F(File, WithoutCommitTheOldFileStaysAndNothingElse) {
  write_text_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    EXPECT_EQ(entries(), 2u);
  }
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, AnyFaultOfOpeningWritingOrSyncingLeavesTheOldFile) {
  write_text_file(folder / "a", "old");
  int failed = 0;
  for (int fail_at = 0;; ++fail_at, ++failed) {
    set_write_fault([fail_at, call = 0]() mutable { return call++ == fail_at ? ENOSPC : 0; });
    std::string error = error_of([&] {
      AtomicFile file(folder / "a");
      file.write("ne");
      file.write("w");
      file.commit();
    });
    set_write_fault(nullptr);
    if (error == "no error") break;
    EXPECT_THAT(error, AllOf(HasSubstr((folder / "a").string()), HasSubstr("No space left on device")));
    EXPECT_EQ(read_text_file(folder / "a"), "old");
    EXPECT_EQ(entries(), 1u);
  }
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(read_text_file(folder / "a"), "new");
}

TEST_F(File, AWriteThatFailsSaysAtWhichOffset) {
  AtomicFile file(folder / "a");
  file.write("12345");
  set_write_fault([] { return EIO; });
  EXPECT_THAT(error_of([&] { file.write("6"); }),
              AllOf(HasSubstr("offset 5"), HasSubstr("Input/output error")));
}

TEST_F(File, AnInterruptedWriteIsResumed) {
  set_write_fault([calls = 0]() mutable { return calls++ % 3 == 1 ? EINTR : 0; });
  AtomicFile file(folder / "a");
  for (const char* part : {"a", "b", "c", "d"}) file.write(part);
  set_write_fault(nullptr);
  file.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "abcd");
}

TEST_F(File, SyncedFilesCommitByRenameAlone) {
  AtomicFile first(folder / "a"), second(folder / "b");
  first.write("1");
  second.write("2");
  first.sync();
  second.sync();
  set_write_fault([] { return ENOSPC; });
  first.commit();
  second.commit();
  EXPECT_EQ(read_text_file(folder / "b"), "2");
}

TEST_F(File, WritersOfTheSameFileInSeveralThreadsDoNotMix) {
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'e'; ++c)
    threads.emplace_back([&, c] {
      for (int i = 0; i < 10; ++i) write_text_file(folder / "a", std::string(1000, c));
    });
  for (auto& thread : threads) thread.join();
  const std::string text = read_text_file(folder / "a");
  EXPECT_EQ(text, std::string(1000, text[0]));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(File, AnImpossiblePathIsAnErrorThatNamesIt) {
  EXPECT_THAT(error_of([&] { write_text_file(folder / "none" / "a", "x"); }), HasSubstr("none/a"));
  fs::create_directory(folder / "d");
  EXPECT_THAT(error_of([&] { write_text_file(folder / "d", "x"); }), HasSubstr("cannot rename"));
  EXPECT_EQ(entries(), 1u);
  EXPECT_THAT(error_of([&] { sync_directory(folder / "none"); }), HasSubstr("cannot open folder"));
}

TEST_F(File, AFifoAnswersAtOnce) {
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(read_text_file(folder / "fifo"), Error);
  EXPECT_THROW(write_text_file(folder / "fifo", "x"), Error);
}

TEST_F(File, ADeviceIsNeverReplaced) {
  fs::create_symlink("/dev/null", folder / "null");
  EXPECT_THROW(write_text_file(folder / "null", "x"), Error);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(File, ASymbolicLinkStaysAndItsTargetIsReplaced) {
  write_text_file(folder / "target", "old");
  fs::create_symlink("target", folder / "link");
  write_text_file(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_text_file(folder / "target"), "new");
}

TEST_F(File, ARelativeNameIsWrittenInTheCurrentFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  write_text_file("plain", "x");
  fs::current_path(before);
  EXPECT_EQ(read_text_file(folder / "plain"), "x");
}

using Mappings = InAFolder;

TEST_F(Mappings, CopyWhatTheFileHolds) {
  const std::string text(100'000, 'x');
  write_text_file(folder / "file", text);
  const MappedFile file(folder / "file");
  std::string copy(50'000, ' ');
  copy_mapped(file.bytes().subspan(10, copy.size()), reinterpret_cast<std::byte*>(copy.data()), file.path(),
              10);
  EXPECT_EQ(copy, text.substr(0, copy.size()));
}

// Resident pages of files, in bytes.
size_t resident_of_files() {
  std::ifstream statm("/proc/self/statm");
  size_t size = 0, resident = 0, shared = 0;
  statm >> size >> resident >> shared;
  return shared * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(Mappings, ThatWereCopiedLeaveThisProcessesMemory) {
  const size_t size = size_t{32} << 20;
  write_text_file(folder / "file", std::string(size, 'x'));
  const MappedFile file(folder / "file");
  std::vector<std::byte> copy(size);
  const size_t before = resident_of_files();
  copy_mapped(file.bytes(), copy.data(), file.path(), 0);
  EXPECT_LT(resident_of_files(), before + (size >> 4));
  EXPECT_EQ(copy.back(), std::byte{'x'});
  EXPECT_EQ(file.bytes().front(), std::byte{'x'});  // and can be read again
}

TEST_F(Mappings, OfAFileThatBecameShorterAreAnErrorNotASignal) {
  write_text_file(folder / "file", std::string(100'000, 'x'));
  const MappedFile file(folder / "file");
  fs::resize_file(folder / "file", 10);
  std::vector<std::byte> copy(20'000);
  EXPECT_THAT(
      error_of(
          [&] { copy_mapped(file.bytes().subspan(40'000, copy.size()), copy.data(), file.path(), 40'000); }),
      AllOf(HasSubstr((folder / "file").string()), HasSubstr("at offset 40000"), HasSubstr("shorter")));
}

}  // namespace
}  // namespace deepspeed::base
