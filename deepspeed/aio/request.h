// What a caller asked for, and the part of it that one worker carries out. Internal to aio/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "deepspeed/aio/backend.h"
#include "deepspeed/aio/file.h"
#include "deepspeed/aio/plan.h"

namespace deepspeed::aio {

struct Request {
  Direction direction = Direction::kRead;
  std::byte* memory = nullptr;
  size_t bytes = 0;
  File file;  // kept open by this copy
  int64_t offset = 0;
  uint64_t ticket = 0;
};

/// What went wrong first, by file offset. Nothing did while `text` is empty.
struct Failure {
  int64_t offset = 0;
  std::string text;
  explicit operator bool() const { return !text.empty(); }
  void keep_first(Failure other) {
    if (other && (text.empty() || other.offset < offset)) *this = std::move(other);
  }
};

struct Part {
  std::shared_ptr<const Request> request;
  Range range;
  Failure failure;
};

}  // namespace deepspeed::aio
