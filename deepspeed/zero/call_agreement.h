// Whether all ranks do the same: under stage 3 the order of collectives follows from the order in which the
// model's Blocks run, and a rank that takes another way would leave the others waiting for ever.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "deepspeed/comm/group.h"

namespace deepspeed::zero {

/// Each rank announces what it is about to do, on a group of its own so that announcements meet announcements
/// whatever the ranks are up to. What was announced before is part of what is compared.
class CallAgreement {
 public:
  /// What a rank does, in words ("to run Block 'layers.3'"), from what it announced.
  using Describe = std::function<std::string(int64_t call)>;

  /// Collective over `group`; makes a group of the same ranks.
  CallAgreement(comm::Group& group, Describe describe);

  /// Collective, but waits for nobody.
  void announce(int64_t call);
  /// Waits for all announcements made so far. base::Error naming two ranks and what each of them is about to
  /// do if they differ.
  void check();

 private:
  struct Announcement {
    at::Tensor own, all;  // [2] and [W, 2]: call, and a hash of all calls so far
    comm::WorkPtr work;
  };

  void compare(const Announcement& announcement) const;

  comm::GroupPtr group_;
  Describe describe_;
  std::deque<Announcement> open_;
  uint64_t history_ = 0;
};

}  // namespace deepspeed::zero
