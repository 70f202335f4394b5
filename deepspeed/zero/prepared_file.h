// A copy of weights in the form in which they are computed with, where a model's own files hold another.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "deepspeed/aio/handle.h"

namespace deepspeed::zero {

/// A file without a name: its space is free again when the last copy of file() is gone, also after a crash.
class PreparedFile {
 public:
  /// Errors name the folder, which is made where it does not exist.
  PreparedFile(const std::filesystem::path& folder, const aio::AioConfig& config,
               const aio::BackendFactory& backend);
  /// Writes a contiguous CPU tensor behind what is there; where its bytes begin, which is at a whole page.
  /// Error: a full disk.
  int64_t append(const at::Tensor& tensor);
  const aio::File& file() const { return file_; }
  int64_t bytes() const { return end_; }

 private:
  aio::File file_;
  aio::Handle handle_;
  int64_t end_ = 0;
};

}  // namespace deepspeed::zero
