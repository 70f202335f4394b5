// A corpus of broken model files, opened as ds_infer opens them: each is refused in one line that says what
// is wrong, within little time and memory. The list is that of the safetensors library's errors, of
// llama.cpp's tests/test-gguf.cpp and of published holes in readers of these formats.
#include "tests/inference/broken_models.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/engine.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class BrokenModels : public testing::TestWithParam<BrokenModel> {
 protected:
  // The program may take no more memory than it has now and a little: what asks for more gets std::bad_alloc,
  // which is not the Error that is wanted.
  static void SetUpTestSuite() {
    constexpr rlim_t kMore = rlim_t{384} << 20;
    long pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kMore;
    const rlimit limit{most, RLIM_INFINITY};
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
  }
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_broken_" + std::to_string(::getpid()));
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  void write(const Files& files) const {
    for (const auto& [name, content] : files) std::ofstream(folder / name, std::ios::binary) << content;
  }
  // As far as ds_infer goes before it computes.
  std::string open() const {
    InferenceConfig config;
    config.dtype = WeightType::kFp32;
    InferenceEngine engine(open_model(folder.string(), config), config, Task::kTextGeneration);
    if (!engine.source().chat) return "";
    return engine.chat_prompt(config::Json::parse(R"([{"role": "user", "content": "hello"}])"));
  }

  fs::path folder;
};

std::vector<BrokenModel> all() {
  std::vector<BrokenModel> cases = broken_weights();
  for (auto more : {broken_gguf(), broken_texts()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

TEST_P(BrokenModels, AreRefusedInOneLine) {
  write(GetParam().files);
  const auto start = std::chrono::steady_clock::now();
  std::string error = "no error";
  try {
    open();
  } catch (const base::Error& refused) {
    error = refused.what();
  } catch (const std::exception& other) {
    FAIL() << "not an Error: " << other.what();
  }
  EXPECT_THAT(error, HasSubstr(GetParam().error));
  EXPECT_THAT(error, Not(HasSubstr("\n")));
  EXPECT_LT(error.size(), 1500u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

INSTANTIATE_TEST_SUITE_P(Corpus, BrokenModels, testing::ValuesIn(all()),
                         [](const auto& info) { return info.param.name; });

class WholeModel : public BrokenModels {};
INSTANTIATE_TEST_SUITE_P(Corpus, WholeModel, testing::Values(BrokenModel{"Whole", whole_model(), ""}));

// What the others are but for one place.
TEST_P(WholeModel, OpensWithinTheSameMemory) {
  write(GetParam().files);
  EXPECT_EQ(open(), "<user>hello<assistant>");
}

TEST(BrokenModelCorpus, HasManyOfEachKindAndNoNameTwice) {
  EXPECT_GE(broken_weights().size(), 30u);
  EXPECT_GE(broken_gguf().size(), 25u);
  EXPECT_GE(broken_texts().size(), 35u);
  std::set<std::string> names;
  for (const BrokenModel& one : all()) EXPECT_TRUE(names.insert(one.name).second) << one.name;
}

}  // namespace

const Files& whole_model() {
  static const Files files = [] {
    const fs::path source = DS_SOURCE_DIR, model = source / "tests/parity/goldens/models/llama-linear-sharp";
    Files out;
    for (const char* name : {"config.json", "model.safetensors"}) out[name] = slurp(model / name);
    out["tokenizer.json"] = slurp(source / "tests/models/goldens/tokenizer.json");
    out["tokenizer_config.json"] =
        R"({"chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"})";
    return out;
  }();
  return files;
}

Files whole_model_with(const Files& changed) {
  Files files = whole_model();
  for (const auto& [name, content] : changed) files[name] = content;
  std::erase_if(files, [](const auto& file) { return file.second.empty(); });
  return files;
}

}  // namespace deepspeed::inference
