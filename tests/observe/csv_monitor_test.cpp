#include "deepspeed/observe/csv_monitor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include "deepspeed/base/file.h"
#include "deepspeed/observe/python_text.h"
#include "tests/observe/scratch.h"

namespace deepspeed::observe {
namespace {

using testing::HasSubstr;

// What Python 3.11 prints for these.
TEST(PythonText, PrintsNumbersAsPythonDoes) {
  EXPECT_EQ(python_float(1.0), "1.0");
  EXPECT_EQ(python_float(0.0), "0.0");
  EXPECT_EQ(python_float(0.001), "0.001");
  EXPECT_EQ(python_float(0.0001), "0.0001");
  EXPECT_EQ(python_float(0.00001), "1e-05");
  EXPECT_EQ(python_float(2.5e-05), "2.5e-05");
  EXPECT_EQ(python_float(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(python_float(1e15), "1000000000000000.0");
  EXPECT_EQ(python_float(1e16), "1e+16");
  EXPECT_EQ(python_float(4294967296.0), "4294967296.0");
  EXPECT_EQ(python_float(-1.0 / 0.0), "-inf");
}

class Csv : public ScratchFolder {
 protected:
  MonitorFilesConfig config() const {
    return {.enabled = true, .output_path = folder.string(), .job_name = "job"};
  }
  std::string text(const char* name) const { return base::read_text_file(folder / "job" / name); }
};

TEST_F(Csv, WritesTheHeadOnceAProcessAndAppends) {
  {
    CsvMonitor monitor(config());
    EXPECT_FALSE(monitor.write({{"Train/Samples/lr", 1e-5, 8}, {"a name/part two", 3, 8, true}}));
    EXPECT_FALSE(monitor.write({{"Train/Samples/lr", 1, 16}}));
  }
  EXPECT_EQ(text("Train_Samples_lr.csv"), "step,lr\r\n8,1e-05\r\n16,1.0\r\n");
  EXPECT_EQ(text("a_name_part_two.csv"), "step,part two\r\n8,3\r\n");
  CsvMonitor again(config());
  EXPECT_FALSE(again.write({{"Train/Samples/lr", 2, 24}}));
  EXPECT_EQ(text("Train_Samples_lr.csv"), "step,lr\r\n8,1e-05\r\n16,1.0\r\nstep,lr\r\n24,2.0\r\n");
}

TEST_F(Csv, QuotesANameAsPythonDoes) {
  CsvMonitor monitor(config());
  EXPECT_FALSE(monitor.write({{"odd \"name\", this", 1, 1}}));
  EXPECT_EQ(text("odd_\"name\",_this.csv"), "step,\"odd \"\"name\"\", this\"\r\n1,1.0\r\n");
}

// A limit on file sizes stands for a full disk: the write that crosses it is cut short.
TEST_F(Csv, KeepsWholeRowsWhenTheDiskIsFullAndGoesOnLater) {
  CsvMonitor monitor(config());
  EXPECT_FALSE(monitor.write({{"lr", 1, 1}}));
  const std::string before = text("lr.csv");
  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit tight { before.size() + 2, old.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto problem = monitor.write({{"lr", 2, 2}});
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  EXPECT_THAT(problem.value_or(""), HasSubstr("lr.csv"));
  EXPECT_EQ(text("lr.csv"), before);
  EXPECT_FALSE(monitor.write({{"lr", 3, 3}}));
  EXPECT_EQ(text("lr.csv"), before + "3,3.0\r\n");
}

}  // namespace
}  // namespace deepspeed::observe
