// What the tests of training under mpirun and srun share.
#pragma once

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "deepspeed/launcher/listen_socket.h"
#include "tests/train/folder.h"

namespace deepspeed::testing_support {

class StartedByOthers : public TrainingFolder {
 protected:
  void SetUp() override {
    TrainingFolder::SetUp();
    write("hosts", "localhost slots=2\n");
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    ::setenv("MASTER_PORT", free_port().c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("MASTER_PORT");
    TrainingFolder::TearDown();
  }

  static std::string free_port() { return std::to_string(launcher::ListenSocket("127.0.0.1", 0).port()); }

  std::vector<std::string> training(const std::string& log) const {
    return train({"--steps", "4", "--log-jsonl", path(log), "-q"});
  }
  /// ds_train on two ranks behind `words`.
  std::vector<std::string> behind(std::vector<std::string> words, const std::string& log) const {
    const auto rest = training(log);
    words.insert(words.end(), rest.begin(), rest.end());
    return words;
  }
  /// `deepspeed --launcher NAME --force_multi FLAGS ds_train ...`.
  std::vector<std::string> through(const std::string& launcher, const std::vector<std::string>& flags,
                                   const std::string& log) const {
    std::vector<std::string> words = {bin("deepspeed"), "-q",       "--launcher", launcher, "--force_multi",
                                      "--master_port",  free_port()};
    words.insert(words.end(), flags.begin(), flags.end());
    return behind(words, log);
  }

  std::vector<double> losses(const std::string& log) const {
    std::ifstream in(path(log));
    std::vector<double> values;
    for (std::string line; std::getline(in, line);) values.push_back(nlohmann::json::parse(line)["loss"]);
    return values;
  }
  /// Of `deepspeed --num_accelerators 2`, with which everything is compared.
  std::vector<double> expected_losses() const {
    const Finished finished = run(launched(2, {"--steps", "4", "--log-jsonl", path("expected.jsonl")}));
    EXPECT_EQ(finished.code, 0) << finished.output;
    const auto values = losses("expected.jsonl");
    EXPECT_EQ(values.size(), 4u);
    return values;
  }
};

}  // namespace deepspeed::testing_support
