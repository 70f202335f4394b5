#include "deepspeed/aio/backend.h"

#include <array>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

constexpr std::array kNames{
    std::pair{BackendKind::kAuto, std::string_view("auto")},
    std::pair{BackendKind::kIoUring, std::string_view("io_uring")},
    std::pair{BackendKind::kLibaio, std::string_view("libaio")},
    std::pair{BackendKind::kThreadPool, std::string_view("thread_pool")},
};

bool can_be_had(BackendKind kind, int depth) {
  try {
    factory_of(kind)(depth);
    return true;
  } catch (const base::Error&) {
    return false;
  }
}

}  // namespace

BackendKind parse_backend(std::string_view name) {
  for (const auto& [kind, text] : kNames)
    if (text == name) return kind;
  base::fail("'{}' is no way to transfer files; there are auto, io_uring, libaio and thread_pool", name);
}

std::string_view name_of(BackendKind kind) { return kNames[static_cast<size_t>(kind)].second; }

BackendFactory factory_of(BackendKind kind, int depth) {
  switch (choose_backend(kind, depth)) {
    case BackendKind::kIoUring:
      return make_io_uring;
    case BackendKind::kLibaio:
      return make_libaio;
    default:
      return make_thread_pool;
  }
}

BackendKind choose_backend(BackendKind wanted, int depth) {
  if (wanted != BackendKind::kAuto) return wanted;
  for (BackendKind kind : {BackendKind::kIoUring, BackendKind::kLibaio})
    if (can_be_had(kind, depth)) return kind;
  return BackendKind::kThreadPool;
}

}  // namespace deepspeed::aio
