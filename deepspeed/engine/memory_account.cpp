#include "deepspeed/engine/memory_account.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "deepspeed/accel/memory.h"
#include "deepspeed/engine/size_text.h"

namespace deepspeed::engine {
namespace {

constexpr int64_t kNumbers = 8;

std::string line_of(int rank, const int64_t* n) {
  const auto text = [n](size_t i) { return size_text(static_cast<double>(n[i])); };
  std::string line = fmt::format("memory of rank {}: parameters {}, gradients {}, optimizer {}", rank,
                                 text(0), text(1), text(2));
  if (n[3] > 0) line += ", gathered " + text(3);
  if (n[4] > 0) line += ", buckets " + text(4);
  if (n[5] > 0) line += fmt::format("; {} on disk", text(5));
  return line + fmt::format("; resident {}, at most {}", text(6), text(7));
}

}  // namespace

std::vector<std::string> memory_account(const zero::StateBytes& mine, comm::Group& group) {
  const at::Tensor own =
      at::tensor({mine.parameters, mine.gradients, mine.optimizer, mine.gathered, mine.buckets, mine.on_disk,
                  accel::resident_bytes(), accel::peak_resident_bytes()},
                 at::kLong);
  const at::Tensor all = at::empty({group.size() * kNumbers}, at::kLong);
  group.all_gather_into_tensor(all, own);
  std::vector<std::string> lines;
  if (group.rank() != 0) return lines;
  for (int rank = 0; rank < group.size(); ++rank)
    lines.push_back(line_of(rank, all.const_data_ptr<int64_t>() + rank * kNumbers));
  return lines;
}

}  // namespace deepspeed::engine
