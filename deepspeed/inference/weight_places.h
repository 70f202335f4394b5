// Where the bytes of weights lie that are read from a disk as they are used.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/aio/file.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/prepared_file.h"
#include "deepspeed/zero/streamed_tensors.h"

namespace deepspeed::inference {

class WeightPlaces {
 public:
  /// `offload` says in which folder a file for what must be written is made, once it is needed.
  WeightPlaces(const models::WeightSource& weights, const zero::OffloadParamConfig& offload)
      : weights_(weights), offload_(offload) {}

  /// A file of files(), by its number, and an offset in it.
  struct Place {
    size_t file = 0;
    int64_t offset = 0;
  };
  /// In the model's own files where these hold the parameter as spec.dtype wants it; nothing elsewhere.
  std::optional<Place> in_place(const nn::ParameterSpec& spec);
  /// Of a contiguous tensor that is written now. Errors: the folder cannot be written to or is full.
  Place write(const at::Tensor& tensor);

  std::vector<aio::File> files() const { return files_; }
  int64_t bytes_written() const { return written_ ? written_->bytes() : 0; }

 private:
  const models::WeightSource& weights_;
  const zero::OffloadParamConfig& offload_;
  std::vector<aio::File> files_;
  std::map<std::filesystem::path, size_t> numbers_;
  std::optional<zero::PreparedFile> written_;
  size_t written_number_ = 0;
};

}  // namespace deepspeed::inference
