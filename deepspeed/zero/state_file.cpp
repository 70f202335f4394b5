#include "deepspeed/zero/state_file.h"

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

aio::File open_state_file(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  DS_CHECK(!error, "cannot make the folder '{}' of model states: {}", folder.string(), error.message());
  return aio::File::unnamed(folder);
}

aio::BackendFactory state_file_backend(const aio::AioConfig& config, const aio::BackendFactory& wanted) {
  return wanted ? wanted : aio::factory_of(aio::BackendKind::kAuto, config.queue_depth);
}

}  // namespace deepspeed::zero
