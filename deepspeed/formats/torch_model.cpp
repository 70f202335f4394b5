#include "deepspeed/formats/torch_model.h"

namespace deepspeed::formats {
namespace {

constexpr ModelFileNames kNames{"pytorch_model.bin", "pytorch_model.bin.index.json"};

}  // namespace

bool TorchModel::present(const std::filesystem::path& folder) { return holds_weights(folder, kNames); }

TorchModel TorchModel::open(const std::filesystem::path& folder_or_file) {
  return TorchModel(ModelShards<TorchFile>(folder_or_file, kNames));
}

}  // namespace deepspeed::formats
