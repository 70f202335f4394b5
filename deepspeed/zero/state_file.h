// The files that model states on a disk live in.
#pragma once

#include <filesystem>

#include "deepspeed/aio/backend.h"
#include "deepspeed/aio/config.h"
#include "deepspeed/aio/file.h"

namespace deepspeed::zero {

/// A new file without a name in `folder`, which is made where it does not exist. Errors name the folder.
aio::File open_state_file(const std::filesystem::path& folder);

/// `wanted`, or the best that the kernel has.
aio::BackendFactory state_file_backend(const aio::AioConfig& config, const aio::BackendFactory& wanted);

}  // namespace deepspeed::zero
