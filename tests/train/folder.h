// A scratch folder holding a tiny model that a test may spoil, its data and configurations.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/train/process.h"

namespace deepspeed::testing_support {

namespace fs = std::filesystem;

class TrainingFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder = fs::temp_directory_path() / fmt_name(info->name());
    fs::remove_all(folder);
    fs::create_directories(folder);
    const fs::path goldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";
    fs::copy(goldens / "models/gpt2", folder / "model");
    fs::copy(goldens / "data/text.bin", folder / "data.bin");
    write("ds.json",
          R"({"train_micro_batch_size_per_gpu": 1, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}},
                         "zero_optimization": {"stage": 2}})");
  }
  void TearDown() override { fs::remove_all(folder); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  static std::string bin(const std::string& name) { return (fs::path(DS_BIN_DIR) / name).string(); }

  std::vector<std::string> train(std::vector<std::string> more = {}) const {
    std::vector<std::string> command = {bin("ds_train"),
                                        "--model",
                                        path("model"),
                                        "--data",
                                        path("data.bin"),
                                        "--deepspeed_config",
                                        path("ds.json"),
                                        "--seq-length",
                                        "32",
                                        "--steps",
                                        "2"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  std::vector<std::string> launched(int ranks, std::vector<std::string> more = {}) const {
    std::vector<std::string> command = {bin("deepspeed"), "-q", "--num_accelerators", std::to_string(ranks),
                                        "--master_port",  "0"};
    const auto rest = train(std::move(more));
    command.insert(command.end(), rest.begin(), rest.end());
    return command;
  }

  static std::vector<nlohmann::json> log_lines(const std::string& path) {
    std::ifstream in(path);
    std::vector<nlohmann::json> lines;
    // A killed run may leave a line without an end.
    for (std::string line; std::getline(in, line) && !in.eof();) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  fs::path folder;

 private:
  static std::string fmt_name(std::string test) {
    std::replace(test.begin(), test.end(), '/', '_');
    return "ds_train_" + test + "_" + std::to_string(::getpid());
  }
};

}  // namespace deepspeed::testing_support
