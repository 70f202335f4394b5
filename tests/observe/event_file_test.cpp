// TensorBoard's event files, byte for byte as TensorBoard's own writer makes them.
#include "deepspeed/observe/event_file.h"

#include <gmock/gmock.h>

#include <limits>
#include <regex>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/observe/crc32c.h"
#include "tests/observe/scratch.h"

namespace deepspeed::observe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

// make_goldens.py wrote these records from the same times, steps and values.
TEST(EventFile, RecordsEqualTensorboardsWriterByteForByte) {
  const std::string theirs = base::read_text_file(DS_SOURCE_DIR "/tests/observe/goldens/records.tfevents");
  const auto length =
      static_cast<size_t>(static_cast<uint8_t>(theirs.at(0)));  // of the first message, below 256
  // Its first message also names the program that wrote it, as one field more.
  EXPECT_TRUE(theirs.substr(12, length).starts_with(version_event(1700000000.25)));

  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<Event> events = {{"Train/Samples/lr", 1e-3, 0},
                                     {"Train/Samples/loss_scale", 65536, 100'000},
                                     {"zero", 0, 200'000},
                                     {"negative", -1.5, 300'000},
                                     {"infinite", infinity, 400'000},
                                     {std::string(200, 'x'), 1.0 / 3, 500'000}};
  std::string ours = framed(theirs.substr(12, length));
  for (size_t i = 0; i < events.size(); ++i)
    ours += framed(scalar_event(1700000001.5 + static_cast<double>(i), events[i]));
  ASSERT_EQ(ours.size(), theirs.size());
  EXPECT_TRUE(ours == theirs);
}

class Tensorboard : public ScratchFolder {
 protected:
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder / "job")) found.push_back(entry.path());
    return found;
  }
  MonitorFilesConfig config() const {
    return {.enabled = true, .output_path = folder.string(), .job_name = "job"};
  }
};

TEST_F(Tensorboard, MakesANewFileForEachWriterOfAProcess) {
  const TensorboardMonitor first(config()), second(config());
  ASSERT_EQ(files().size(), 2u);
  for (const fs::path& file : files()) {
    EXPECT_TRUE(std::regex_match(file.filename().string(),
                                 std::regex(R"(events\.out\.tfevents\.\d{10}\.[^/]+\.\d+\.[01])")))
        << file;
    EXPECT_EQ(base::read_text_file(file).size(), framed(version_event(1)).size());
  }
}

TEST_F(Tensorboard, LosesWholeRecordsOnly) {
  AppendFile file(folder / "log");
  ASSERT_FALSE(file.append("first\n"));
  AppendFile full("/dev/full");
  EXPECT_THAT(full.append("record").value_or(""), HasSubstr("No space left"));
  EXPECT_EQ(base::read_text_file(folder / "log"), "first\n");
}

TEST_F(Tensorboard, SaysAtTheStartThatItCannotWrite) {
  base::write_text_file(folder / "taken", "a file where a folder should be");
  MonitorFilesConfig bad = config();
  bad.output_path = (folder / "taken").string();
  try {
    TensorboardMonitor monitor(bad);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensorboard.output_path: cannot write in"));
  }
}

}  // namespace
}  // namespace deepspeed::observe
