#include "deepspeed/mesh/sub_groups.h"

#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::mesh {
namespace {

// The one of `count` groups that this rank is in; each has `size` ranks, `stride` apart.
comm::GroupPtr make(const comm::GroupPtr& group, int count, int first_stride, int size, int stride,
                    const std::string& name) {
  if (size == group->size()) return group;
  comm::GroupPtr mine;
  for (int g = 0; g < count; ++g) {
    std::vector<int> ranks;
    for (int i = 0; i < size; ++i) ranks.push_back(g * first_stride + i * stride);
    auto made = group->new_group(ranks, fmt::format("{} {}", name, g));
    if (made) mine = made;
  }
  return mine;
}

}  // namespace

SubGroups make_sub_groups(const comm::GroupPtr& group, int size, const std::string& name) {
  DS_CHECK(size >= 1 && group->size() % size == 0, "{}: groups of {} do not divide {} ranks", name, size,
           group->size());
  const int runs = group->size() / size;
  return {.within = make(group, runs, size, size, 1, name + " of neighbours"),
          .across = make(group, size, 1, runs, size, name + " of equal places")};
}

}  // namespace deepspeed::mesh
