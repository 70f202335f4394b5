// The list of environment variables against the sources that read them.
#include "deepspeed/config/environment.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <regex>
#include <set>

#include "deepspeed/base/file.h"

namespace deepspeed::config {
namespace {

TEST(Environment, EveryVariableThatIsReadIsListed) {
  std::set<std::string> listed;
  for (const Variable& variable : variables()) listed.insert(variable.name);
  int found = 0;
  const std::regex read(R"re(\b(?:env|env_int|env_number)\("([A-Z0-9_]+)")re");
  for (const char* folder : {"/deepspeed", "/tools"})
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(DS_SOURCE_DIR + std::string(folder))) {
      if (entry.path().extension() != ".cpp") continue;
      const std::string text = base::read_text_file(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), read), end; it != end; ++it, ++found)
        EXPECT_TRUE(listed.count((*it)[1])) << entry.path() << " reads " << (*it)[1];
    }
  EXPECT_GT(found, 10);
}

}  // namespace
}  // namespace deepspeed::config
