#include "deepspeed/zero/prepared_file.h"

#include "deepspeed/base/error.h"
#include "deepspeed/zero/state_file.h"

namespace deepspeed::zero {

PreparedFile::PreparedFile(const std::filesystem::path& folder, const aio::AioConfig& config,
                           const aio::BackendFactory& backend)
    : file_(open_state_file(folder)), handle_(config, state_file_backend(config, backend)) {}

int64_t PreparedFile::append(const at::Tensor& tensor) {
  DS_CHECK(tensor.is_contiguous() && tensor.is_cpu(), "only contiguous CPU tensors can be written");
  const int64_t begin = end_;
  const auto bytes = static_cast<int64_t>(tensor.nbytes()), page = static_cast<int64_t>(aio::kPage);
  handle_.write({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}, file_, begin);
  end_ = (begin + bytes + page - 1) / page * page;
  return begin;
}

}  // namespace deepspeed::zero
