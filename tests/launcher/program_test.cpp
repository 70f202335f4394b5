#include "deepspeed/launcher/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() : root_(fs::temp_directory_path() / ("ds_program_test_" + std::to_string(::getpid()))) {
    for (const char* folder : {"bin", "path", "work"}) fs::create_directories(root_ / folder);
    search_path_ = "/nonexistent:" + (root_ / "path").string();
    make("path/python3",
         "\x7f"
         "ELF",
         true);
  }
  ~ProgramTest() override { fs::remove_all(root_); }

  std::string make(const std::string& name, const std::string& text, bool executable) {
    const fs::path path = root_ / name;
    std::ofstream(path) << text;
    fs::permissions(path, executable ? fs::perms::owner_all : fs::perms::owner_read);
    return path.string();
  }
  Program resolve(const std::string& name, bool no_python = false, bool module = false) {
    LaunchOptions options;
    options.program = name;
    options.no_python = no_python;
    options.module = module;
    return resolve_program(options, root_ / "bin", search_path_);
  }
  std::string error_of(const std::string& name) {
    try {
      resolve(name);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "";
  }
  std::string in_root(const std::string& name) const { return (root_ / name).string(); }

  fs::path root_;
  std::string search_path_;
};

TEST_F(ProgramTest, ACommandBesideDeepspeedComesBeforePath) {
  make("bin/tool",
       "\x7f"
       "ELF",
       true);
  make("path/tool",
       "\x7f"
       "ELF",
       true);
  make("path/other",
       "\x7f"
       "ELF",
       true);
  EXPECT_EQ(resolve("tool").executable, in_root("bin/tool"));
  EXPECT_THAT(resolve("tool").prefix, ElementsAre("tool"));
  EXPECT_EQ(resolve("other").executable, in_root("path/other"));
}

TEST_F(ProgramTest, APythonFileRunsUnbufferedThroughPython) {
  const std::string script = make("work/train.py", "pass\n", false);
  const Program program = resolve(script);
  EXPECT_EQ(program.executable, in_root("path/python3"));
  EXPECT_THAT(program.prefix, ElementsAre(in_root("path/python3"), "-u", script));
  EXPECT_TRUE(program.binds_port_itself);
}

TEST_F(ProgramTest, NoPythonRunsTheFileItself) {
  const std::string script = make("work/train.py", "#!/usr/bin/python3\n", true);
  EXPECT_EQ(resolve(script, /*no_python=*/true).executable, script);
  EXPECT_TRUE(resolve(script, /*no_python=*/true).binds_port_itself);
}

TEST_F(ProgramTest, AModuleIsNamedToPython) {
  EXPECT_THAT(resolve("pkg.train", false, /*module=*/true).prefix,
              ElementsAre(in_root("path/python3"), "-u", "-m", "pkg.train"));
}

TEST_F(ProgramTest, OnlyCompiledProgramsAreHandedTheSocket) {
  EXPECT_FALSE(resolve(make("work/native",
                            "\x7f"
                            "ELF",
                            true))
                   .binds_port_itself);
  EXPECT_TRUE(resolve(make("work/script", "#!/bin/sh\n", true)).binds_port_itself);
  EXPECT_TRUE(resolve("python3").binds_port_itself);
  EXPECT_TRUE(resolve(make("work/python3.11",
                           "\x7f"
                           "ELF",
                           true))
                  .binds_port_itself);
}

TEST_F(ProgramTest, SaysWhyAProgramCannotRun) {
  EXPECT_THAT(error_of("absent"), HasSubstr("neither beside deepspeed"));
  EXPECT_THAT(error_of(in_root("work/absent")), HasSubstr("does not exist"));
  EXPECT_THAT(error_of(in_root("work")), HasSubstr("is a folder"));
  EXPECT_THAT(error_of(make("work/data.txt", "x", false)), HasSubstr("is not executable"));
  EXPECT_THAT(error_of(in_root("absent.py")), HasSubstr("does not exist"));
}

}  // namespace
}  // namespace deepspeed::launcher
