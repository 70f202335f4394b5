// docs/config.md and the list of DeepSpeed's keys against the tables.
#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/engine/parse_config.h"

namespace deepspeed::engine {
namespace {

const char* const kDocs = DS_SOURCE_DIR "/docs/config.md";

TEST(ConfigReference, DocsAreCurrent) {
  std::string now = config_reference_markdown();
  if (base::env("DS_WRITE_CONFIG_DOCS")) base::write_text_file(kDocs, now);
  EXPECT_TRUE(base::read_text_file(kDocs) == now)
      << kDocs
      << " is out of date; renew it: DS_WRITE_CONFIG_DOCS=1 config_test --gtest_filter='*DocsAreCurrent'";
}

TEST(ConfigReference, EveryKeyOfDeepSpeedIsInTheTables) {
  std::vector<std::string> keys = config_keys();
  std::set<std::string> known(keys.begin(), keys.end());
  std::istringstream list(base::read_text_file(DS_SOURCE_DIR "/tests/config/deepspeed_keys.txt"));
  int count = 0;
  for (std::string line; std::getline(list, line);) {
    if (line.empty() || line[0] == '#') continue;
    ++count;
    EXPECT_TRUE(known.count(line)) << line;
  }
  EXPECT_GT(count, 400);
}

TEST(ConfigReference, NoKeyIsListedTwice) {
  std::set<std::string> seen;
  for (const std::string& key : config_keys()) {
    bool of_a_schedule = key.starts_with("scheduler.params.");
    EXPECT_TRUE(seen.insert(key).second || of_a_schedule) << key;
  }
}

}  // namespace
}  // namespace deepspeed::engine
