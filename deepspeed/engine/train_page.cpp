#include "deepspeed/engine/train_page.h"

#include <fmt/format.h>

#include "deepspeed/base/file.h"

namespace deepspeed::engine {

TrainPage::TrainPage(std::filesystem::path path, int64_t last_step, observe::RunReport about)
    : path_(std::move(path)), last_step_(last_step), report_(std::move(about)) {
  write("started");
}

void TrainPage::add(const StepRecord& r) {
  report_.points.push_back({.step = r.step,
                            .loss = r.loss,
                            .lr = r.lr,
                            .grad_norm = r.grad_norm,
                            .tokens_per_s = tokens_per_second(r),
                            .memory_bytes = static_cast<double>(r.rss_bytes_all_ranks)});
  if (r.eval_loss) report_.held_out.emplace_back(r.step, *r.eval_loss);
}

void TrainPage::write(const std::string& ending) {
  const int64_t step = report_.points.empty() ? 0 : report_.points.back().step;
  report_.state = step == 0 ? ending : fmt::format("step {} of {}, {}", step, last_step_, ending);
  base::write_text_file(path_, observe::report_page(report_));
}

}  // namespace deepspeed::engine
