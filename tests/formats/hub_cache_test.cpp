#include "deepspeed/formats/hub_cache.h"

#include <gmock/gmock.h>

#include "deepspeed/base/env.h"
#include "images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567", kOther(40, 'f');

/// A cache as huggingface_hub lays it out: files are links into blobs.
struct HubCache : ::testing::Test {
  HubCache() {
    model = folder.path() / "models--org--tiny";
    for (const std::string& commit : {kCommit, kOther}) fs::create_directories(model / "snapshots" / commit);
    fs::create_directories(model / "refs" / "refs" / "pr");
    fs::create_directories(model / "blobs");
    spill(model / "refs" / "main", kCommit);
    spill(model / "refs" / "v1.0", kOther + "\n");
    spill(model / "refs" / "refs" / "pr" / "3", kOther);
    spill(model / "blobs" / "abc", "{}");
    fs::create_symlink("../../blobs/abc", model / "snapshots" / kCommit / "config.json");
  }
  std::string error(const std::string& name, const std::string& revision = "main") const {
    return error_of([&] { find_in_hub_cache(name, revision, folder.path()); });
  }
  TemporaryFolder folder;
  fs::path model;
};

TEST_F(HubCache, BranchesTagsPullRequestsAndCommitsAreFound) {
  EXPECT_EQ(find_in_hub_cache("org/tiny", "main", folder.path()), model / "snapshots" / kCommit);
  EXPECT_EQ(find_in_hub_cache("org/tiny", "v1.0", folder.path()), model / "snapshots" / kOther);
  EXPECT_EQ(find_in_hub_cache("org/tiny", "refs/pr/3", folder.path()), model / "snapshots" / kOther);
  EXPECT_EQ(find_in_hub_cache("org/tiny", kOther, folder.path()), model / "snapshots" / kOther);
  EXPECT_EQ(slurp(find_in_hub_cache("org/tiny", "main", folder.path()) / "config.json"), "{}");
  fs::rename(model, folder.path() / "models--gpt2");
  EXPECT_EQ(find_in_hub_cache("gpt2", "main", folder.path()).filename(), kCommit);
}

TEST_F(HubCache, WhatIsNotThereIsNamedWithWhatIs) {
  EXPECT_THAT(error("org/absent"), AllOf(HasSubstr("'org/absent' is not in the Hugging Face cache"),
                                         HasSubstr("models--org--absent"), HasSubstr("HF_HOME")));
  EXPECT_THAT(error("org/tiny", "v2.0"),
              AllOf(HasSubstr("no revision 'v2.0'"), HasSubstr("refs/v2.0' does not exist"),
                    HasSubstr("main, refs/pr/3, v1.0"), HasSubstr(kCommit)));
  EXPECT_THAT(error("org/tiny", std::string(40, 'a')), HasSubstr("snapshots/aaaa"));
  spill(model / "refs" / "main", "../../../etc");
  EXPECT_THAT(error("org/tiny"), HasSubstr("should hold a commit of 40 digits, not '../../../etc'"));
  spill(model / "refs" / "main", "");
  EXPECT_THAT(error("org/tiny"), HasSubstr("should hold a commit"));
  spill(model / "refs" / "main", std::string(5000, 'a'));
  EXPECT_THAT(error("org/tiny"), HasSubstr("refs/main' holds 5000 bytes"));
}

TEST_F(HubCache, NamesAndRevisionsCannotLeaveTheCache) {
  for (const char* name :
       {"", "..", "../x", "a/../b", "a/b/c", "/etc", "a/", "/a", "a--b", "a b", ".a", "a.", "-a", "a\n"})
    EXPECT_THAT(error(name), HasSubstr("cannot be a model's name")) << name;
  EXPECT_THAT(error(std::string(97, 'a')), HasSubstr("cannot be a model's name"));
  for (const char* revision : {"", "..", "../main", "refs/../../x", "/etc/passwd", "main/", ".", "a/./b"})
    EXPECT_THAT(error("org/tiny", revision), HasSubstr("cannot be a model's revision")) << revision;
  EXPECT_TRUE(is_hub_name("Qwen/Qwen2.5-0.5B_x"));
}

/// The environment as it was, afterwards.
struct Environment : ::testing::Test {
  Environment() {
    for (const char* name : kNames) {
      before.push_back(base::env(name).value_or(""));
      base::set_env(name, "");
    }
    base::set_env("HOME", "/home/me");
  }
  ~Environment() override {
    for (size_t i = 0; i < before.size(); ++i) base::set_env(kNames[i], before[i]);
  }
  static constexpr std::array kNames = {"HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "XDG_CACHE_HOME"};
  std::vector<std::string> before;
};

TEST_F(Environment, TheCacheLiesWhereHuggingFacesToolsLook) {
  EXPECT_EQ(hub_cache_folder(), "/home/me/.cache/huggingface/hub");
  base::set_env("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(hub_cache_folder(), "/xdg/huggingface/hub");
  base::set_env("HF_HOME", "~/hf");
  EXPECT_EQ(hub_cache_folder(), "/home/me/hf/hub");
  base::set_env("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(hub_cache_folder(), "/old");
  base::set_env("HF_HUB_CACHE", "$HOME/a/${XDG_CACHE_HOME}/$NOT_SET_AT_ALL/${HOME/$");
  EXPECT_EQ(hub_cache_folder(), "/home/me/a//xdg/$NOT_SET_AT_ALL/${HOME/$");
}

TEST_F(Environment, TheTildeIsTheHomeFolder) {
  EXPECT_EQ(expand_home("~"), "/home/me/");
  EXPECT_EQ(expand_home("~/a/b"), "/home/me/a/b");
  EXPECT_EQ(expand_home("a/~"), "a/~");
  EXPECT_EQ(expand_home("~you/a"), "~you/a");
  base::set_env("HOME", "");
  EXPECT_THAT(error_of([] { expand_home("~/a"); }), HasSubstr("HOME is not set"));
}

}  // namespace
}  // namespace deepspeed::formats
