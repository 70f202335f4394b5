// Models of several GGUF files.
#include <cstdio>
#include <set>
#include <system_error>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/gguf.h"

namespace deepspeed::formats {
namespace {

constexpr size_t kMaxFiles = 99'999;  // five digits

std::string split_name(const GgufSplitName& name, size_t number) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", name.stem, number, name.count);
}

int64_t split_count(const GgufFile& file) {
  return file.metadata().contains("split.count") ? file.metadata().integer("split.count") : 1;
}

// Whether it is the part that its name says.
void check_part(const GgufFile& file, const GgufSplitName& name, size_t number) {
  DS_CHECK(split_count(file) == static_cast<int64_t>(name.count),
           "'{}' says that it is one of {} files, its name says {}", file.path().string(), split_count(file),
           name.count);
  const int64_t no = file.metadata().integer("split.no");
  DS_CHECK(no == static_cast<int64_t>(number) - 1, "'{}' says that it is part {}, its name says {}",
           file.path().string(), no + 1, number);
}

void check_tensors(const std::vector<GgufFile>& files) {
  std::set<std::string_view> names;
  for (const GgufFile& file : files)
    for (const MappedTensor& tensor : file.tensors())
      DS_CHECK(names.insert(tensor.name).second, "'{}': tensor '{}' is also in another part of the model",
               file.path().string(), shown(tensor.name));
  const GgufMetadata& metadata = files.front().metadata();
  constexpr std::string_view kKey = "split.tensors.count";
  DS_CHECK(!metadata.contains(kKey) || metadata.integer(kKey) == static_cast<int64_t>(names.size()),
           "'{}' says that the model has {} tensors, its parts hold {}", files.front().path().string(),
           metadata.integer(kKey), names.size());
}

}  // namespace

std::optional<GgufSplitName> parse_gguf_split_name(const std::string& file_name) {
  constexpr size_t kEnd = std::string_view("-00001-of-00001.gguf").size();
  if (file_name.size() <= kEnd) return std::nullopt;
  GgufSplitName name;
  name.stem = file_name.substr(0, file_name.size() - kEnd);
  const std::string end = file_name.substr(name.stem.size());
  if (std::sscanf(end.c_str(), "-%5zu-of-%5zu.gguf", &name.number, &name.count) != 2) return std::nullopt;
  const bool fits = name.number >= 1 && name.number <= name.count && name.count <= kMaxFiles &&
                    split_name(name, name.number) == file_name;
  return fits ? std::optional(name) : std::nullopt;
}

std::vector<GgufFile> open_gguf_files(const std::filesystem::path& path) {
  std::vector<GgufFile> files;
  GgufFile given(path);
  const int64_t count = split_count(given);
  if (count <= 1) {
    files.push_back(std::move(given));
    return files;
  }
  const auto name = parse_gguf_split_name(path.filename().string());
  DS_CHECK(name.has_value(),
           "'{}' is one of {} files, but its name does not end with -00001-of-{:05}.gguf as theirs do",
           path.string(), count, count);
  check_part(given, *name, name->number);
  for (size_t number = 1; number <= name->count; ++number) {
    const std::filesystem::path part = path.parent_path() / split_name(*name, number);
    std::error_code error;
    DS_CHECK(std::filesystem::exists(part, error), "'{}' is one of {} files, of which '{}' does not exist",
             path.string(), count, part.string());
    files.emplace_back(part);
    check_part(files.back(), *name, number);
  }
  check_tensors(files);
  return files;
}

}  // namespace deepspeed::formats
