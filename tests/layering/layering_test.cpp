// The rules of HACKING.md, held against the repository's files.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "deepspeed/base/file.h"
#include "deepspeed/ops/isa_table.h"
#include "tests/layering/rules.h"

namespace deepspeed::layering {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = DS_SOURCE_DIR;
constexpr int kLengthToThinkAbout = 400, kLengthRefused = 800;

const Sources& library() {
  static const Sources sources = read_sources(kRoot, {"deepspeed"});
  return sources;
}

const Sources& everything() {
  static const Sources sources =
      read_sources(kRoot, {"deepspeed", "tools", "tests", "benchmarks", "examples"});
  return sources;
}

const Sources& library_and_tools() {
  static const Sources sources = read_sources(kRoot, {"deepspeed", "tools"});
  return sources;
}

std::string listed(const Violations& violations) { return fmt::format("\n{}", fmt::join(violations, "\n")); }

/// What HACKING.md calls torch-free: whole modules, tools, schema sources, and files of one instruction set.
std::vector<std::string> torch_free_files() {
  std::vector<std::string> prefixes, files;
  for (const char* module : {"base", "config", "formats", "text", "observe", "launcher", "aio"})
    prefixes.push_back(fmt::format("deepspeed/{}/", module));
  for (const char* tool : {"deepspeed", "ds_io", "ds_nvme_tune", "ds_report", "ds_tokenizer"})
    prefixes.push_back(fmt::format("tools/{}/", tool));
  prefixes.push_back("deepspeed/ops/isa_table.");
  for (const auto& folder : fs::directory_iterator(kRoot / "deepspeed")) {
    if (!fs::exists(folder.path() / "CMakeLists.txt")) continue;
    for (const std::string& source :
         parse_schema_sources(base::read_text_file(folder.path() / "CMakeLists.txt")))
      prefixes.push_back("deepspeed/" + folder.path().filename().string() + "/" + source);
  }
  for (const SourceFile& file : library_and_tools()) {
    const std::string stem = fs::path(file.path).stem().string();
    bool wanted = file.path.ends_with("/schema.cpp") || stem.ends_with("_avx2") ||
                  stem.ends_with("_avx512") || stem.ends_with("_avx512bf16") || stem.ends_with("_amx");
    for (const std::string& prefix : prefixes) wanted = wanted || file.path.starts_with(prefix);
    if (wanted) files.push_back(file.path);
  }
  return files;
}

TEST(Layering, TheSourcesAreFound) {
  EXPECT_GT(library().size(), 30u);
  EXPECT_GT(everything().size(), library().size());
  EXPECT_GT(torch_free_files().size(), 20u);
}

TEST(Layering, IncludesOnlyGoDown) {
  const auto order = parse_module_order(base::read_text_file(kRoot / "deepspeed" / "CMakeLists.txt"));
  ASSERT_GT(order.size(), 10u);
  const Violations found = check_order(library(), order);
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, TheEngineAndInferenceAreIndependent) {
  const Violations found = check_apart(library(), "engine", "inference");
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, NoFileIncludesItselfThroughOthers) {
  const Violations found = check_cycles(everything());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, LibraryIncludesAreFullPaths) {
  const Violations found = check_paths(library());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, OnlyCommIncludesC10d) {
  const Violations found = check_c10d(library());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, OnlyBaseEnvTouchesTheEnvironment) {
  const Violations found = check_environment(library_and_tools());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, NothingStartsAShell) {
  const Violations found = check_shells(library_and_tools());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, TorchFreeFilesReachNoTorchHeader) {
  const Violations found = check_torch_free(library_and_tools(), torch_free_files());
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, NoFileIsTooLong) {
  for (const std::string& note : check_length(everything(), kLengthToThinkAbout))
    fmt::print("consider splitting {}\n", note);
  const Violations found = check_length(everything(), kLengthRefused);
  EXPECT_TRUE(found.empty()) << listed(found);
}

TEST(Layering, TheIsaTableHasExactlyTheOpsThatDispatchByIt) {
  static const std::regex kCall("chosen_isa\\(\"(\\w+)\"\\)");
  std::string text;
  for (const SourceFile& file : library())
    if (!file.path.starts_with("deepspeed/ops/isa_table")) text += file.text;
  std::set<std::string> rows;
  for (const ops::OpIsas& row : ops::isa_table()) rows.insert(std::string(row.op));
  for (const std::string& row : rows)
    EXPECT_NE(text.find("\"" + row + "\""), std::string::npos) << "no kernel asks for the row " << row;
  for (std::sregex_iterator call(text.begin(), text.end(), kCall), end; call != end; ++call)
    EXPECT_TRUE(rows.contains((*call)[1])) << "no row " << (*call)[1];
}

}  // namespace
}  // namespace deepspeed::layering
