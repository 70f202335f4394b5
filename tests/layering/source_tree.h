// The repository's source files as text and includes, read once for all rules.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::layering {

struct Include {
  int line = 0;
  std::string path;
  bool quoted = false;  // "..." rather than <...>
};

struct SourceFile {
  std::string path;  // from the repository's root: "deepspeed/zero/layout.h"
  std::string text;
  std::vector<Include> includes;
  int lines = 0;
};

/// Takes lines of the form #include "x" or #include <x>.
SourceFile make_source(std::string path, std::string text);

/// All .h, .cpp, .cu and .cuh files below the named folders of `root`, sorted by path.
std::vector<SourceFile> read_sources(const std::filesystem::path& root,
                                     const std::vector<std::string>& folders);

/// The modules that the foreach() of deepspeed/CMakeLists.txt names, lowest first.
std::vector<std::string> parse_module_order(std::string_view cmake_text);

/// Names that follow the word SCHEMA in a module's CMakeLists.txt, up to the next keyword.
std::vector<std::string> parse_schema_sources(std::string_view cmake_text);

/// "zero" of "deepspeed/zero/layout.h"; empty for files elsewhere.
std::string module_of(std::string_view path);

}  // namespace deepspeed::layering
