// A file that grows by whole records.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace deepspeed::observe {

/// Opened for appending. A record is written whole or not at all: what a failed write leaves is cut off
/// again, so that a full disk never tears a record and a reader can always go on.
class AppendFile {
 public:
  /// `exclusive`: the file must not exist yet; when it does, is_open() is false. Other failures are
  /// base::Errors.
  explicit AppendFile(const std::filesystem::path& path, bool exclusive = false);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  bool is_open() const { return fd_ >= 0; }
  /// Nothing when the record is in the file, else why it is not.
  std::optional<std::string> append(std::string_view record);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

/// Makes the folder and checks that files in it can be written; a base::Error naming `key` otherwise.
void prepare_folder(const std::filesystem::path& folder, const char* key);

}  // namespace deepspeed::observe
