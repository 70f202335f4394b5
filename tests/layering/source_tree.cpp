#include "tests/layering/source_tree.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "deepspeed/base/file.h"

namespace deepspeed::layering {
namespace {

namespace fs = std::filesystem;

bool is_keyword(const std::string& word) {
  return word.size() > 1 &&
         std::ranges::all_of(word, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

}  // namespace

SourceFile make_source(std::string path, std::string text) {
  SourceFile file{std::move(path), std::move(text)};
  std::istringstream in(file.text);
  for (std::string line; std::getline(in, line);) {
    ++file.lines;
    const size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    const size_t word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const size_t open = line.find_first_of("\"<", word + 7);
    if (open == std::string::npos) continue;
    const size_t close = line.find(line[open] == '"' ? '"' : '>', open + 1);
    if (close == std::string::npos) continue;
    file.includes.push_back({file.lines, line.substr(open + 1, close - open - 1), line[open] == '"'});
  }
  return file;
}

std::vector<SourceFile> read_sources(const fs::path& root, const std::vector<std::string>& folders) {
  constexpr std::array kSuffixes = {".h", ".cpp", ".cu", ".cuh"};
  std::vector<SourceFile> files;
  for (const std::string& folder : folders) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file()) continue;
      if (std::ranges::find(kSuffixes, entry.path().extension().string()) == kSuffixes.end()) continue;
      files.push_back(
          make_source(fs::relative(entry.path(), root).generic_string(), base::read_text_file(entry.path())));
    }
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

std::vector<std::string> parse_module_order(std::string_view cmake_text) {
  const size_t begin = cmake_text.find("foreach(module");
  if (begin == std::string_view::npos) return {};
  std::string_view list = cmake_text.substr(begin, cmake_text.find(')', begin) - begin);
  std::vector<std::string> words = words_of(list);
  words.erase(words.begin());
  return words;
}

std::vector<std::string> parse_schema_sources(std::string_view cmake_text) {
  std::string spaced(cmake_text);
  std::ranges::replace_if(
      spaced, [](char c) { return c == '(' || c == ')'; }, ' ');
  std::vector<std::string> sources;
  bool inside = false;
  for (const std::string& word : words_of(spaced)) {
    if (inside && !is_keyword(word)) sources.push_back(word);
    if (is_keyword(word)) inside = word == "SCHEMA";
  }
  return sources;
}

std::string module_of(std::string_view path) {
  constexpr std::string_view kRoot = "deepspeed/";
  if (!path.starts_with(kRoot)) return {};
  path.remove_prefix(kRoot.size());
  const size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

}  // namespace deepspeed::layering
