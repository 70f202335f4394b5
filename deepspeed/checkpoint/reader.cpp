#include "deepspeed/checkpoint/reader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/checkpoint/writer.h"

namespace deepspeed::checkpoint {
namespace {
namespace fs = std::filesystem;

constexpr int kMostRanks = 1 << 20;

at::ScalarType dtype_of(formats::Dtype dtype, const std::string& where) {
  switch (dtype) {
    case formats::Dtype::kF32:
      return at::kFloat;
    case formats::Dtype::kF64:
      return at::kDouble;
    case formats::Dtype::kF16:
      return at::kHalf;
    case formats::Dtype::kBF16:
      return at::kBFloat16;
    case formats::Dtype::kI64:
      return at::kLong;
    case formats::Dtype::kI32:
      return at::kInt;
    case formats::Dtype::kI16:
      return at::kShort;
    case formats::Dtype::kI8:
      return at::kChar;
    case formats::Dtype::kU8:
      return at::kByte;
    case formats::Dtype::kBool:
      return at::kBool;
    default:
      base::fail("{}: elements of type {} are no checkpoint's", where, formats::dtype_name(dtype));
  }
}

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

nlohmann::ordered_json read_state(const fs::path& path) {
  const std::string text = base::read_text_file(path / "state.json");
  auto state = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  DS_CHECK(state.is_object() && state.contains("rank_files") && state["rank_files"].is_number_integer(),
           "'{}' is not a checkpoint's state", (path / "state.json").string());
  const auto ranks = state["rank_files"].get<int64_t>();
  DS_CHECK(ranks > 0 && ranks <= kMostRanks, "'{}' names {} rank files", (path / "state.json").string(),
           ranks);
  return state;
}

}  // namespace

std::optional<std::string> latest_tag(const fs::path& folder) {
  if (!fs::exists(folder / "latest")) return std::nullopt;
  std::string tag = base::read_text_file(folder / "latest", 4096);
  while (!tag.empty() && (tag.back() == '\n' || tag.back() == '\r' || tag.back() == ' ')) tag.pop_back();
  check_tag(tag);
  return tag;
}

Reader::Reader(const fs::path& folder, const std::string& tag) {
  check_tag(tag);
  path_ = folder / tag;
  DS_CHECK(fs::is_directory(path_), "there is no checkpoint '{}'", path_.string());
  state_ = read_state(path_);
  for (int rank = 0; rank < state_["rank_files"].get<int>(); ++rank)
    files_.emplace_back(path_ / rank_file_name(rank));
  for (size_t f = 0; f < files_.size(); ++f) {
    for (const auto& info : files_[f].tensors()) {
      if (info.name.rfind("whole/", 0) == 0) {
        whole_[info.name.substr(6)] = {f, &info};
        continue;
      }
      if (info.name.starts_with(kOwnPrefix)) continue;
      const size_t at = info.name.rfind('@');
      int64_t begin = -1;
      if (at != std::string::npos)
        std::from_chars(info.name.data() + at + 1, info.name.data() + info.name.size(), begin);
      DS_CHECK(begin >= 0 && info.shape.size() == 1, "'{}': '{}' is not a piece of a checkpoint",
               files_[f].path().string(), info.name);
      runs_[info.name.substr(0, at)].push_back({begin, f, &info});
    }
  }
  for (auto& [name, runs] : runs_)
    std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.begin < b.begin; });
}

// The mapping is aligned to bytes only, so the data is copied out.
at::Tensor Reader::tensor(size_t file, const formats::TensorInfo& info) const {
  at::Tensor copy = at::empty(info.shape, dtype_of(info.dtype, files_[file].path().string()));
  files_[file].read(info, 0, bytes_of(copy));
  return copy;
}

// A part of a run, so that a small part costs no memory for the whole.
at::Tensor Reader::elements(const Run& run, int64_t first, int64_t count) const {
  at::Tensor copy = at::empty({count}, dtype_of(run.info->dtype, files_[run.file].path().string()));
  files_[run.file].read(*run.info, static_cast<size_t>(first) * copy.element_size(), bytes_of(copy));
  return copy;
}

bool Reader::has_state(const std::string& state, const std::string& parameter) const {
  return runs_.find(state + "/" + parameter) != runs_.end();
}

void Reader::read(const std::string& state, const std::string& parameter, int64_t begin,
                  at::Tensor out) const {
  const int64_t end = begin + out.numel();
  auto found = runs_.find(state + "/" + parameter);
  DS_CHECK(found != runs_.end(), "'{}' holds no '{}' of parameter '{}'", path_.string(), state, parameter);
  int64_t next = begin;
  for (const Run& run : found->second) {
    DS_CHECK(at::isFloatingType(dtype_of(run.info->dtype, files_[run.file].path().string())),
             "'{}': '{}' holds {}, which is no type of a state", files_[run.file].path().string(),
             run.info->name, formats::dtype_name(run.info->dtype));
    const int64_t run_end = run.begin + run.info->shape[0];
    if (run_end <= next || run.begin >= end) continue;
    if (run.begin > next) break;
    const int64_t stop = std::min(end, run_end);
    out.narrow(0, next - begin, stop - next).copy_(elements(run, next - run.begin, stop - next));
    next = stop;
  }
  DS_CHECK(next == end, "'{}' lacks elements {} to {} of '{}' of parameter '{}'", path_.string(), next, end,
           state, parameter);
}

bool Reader::read_whole(const std::string& name, at::Tensor out) const {
  auto found = whole_.find(name);
  if (found == whole_.end()) return false;
  const auto& [file, info] = found->second;
  DS_CHECK(out.sizes() == at::IntArrayRef(info->shape), "'{}': '{}' has shape {}, the model's has another",
           path_.string(), name, formats::shape_text(info->shape));
  out.copy_(tensor(file, *info));
  return true;
}

std::map<std::string, at::Tensor> Reader::read_own(int rank, const std::string& prefix) const {
  std::map<std::string, at::Tensor> own;
  if (rank < 0 || static_cast<size_t>(rank) >= files_.size()) return own;
  const auto file = static_cast<size_t>(rank);
  const std::string wanted = kOwnPrefix + prefix;
  for (const auto& info : files_[file].tensors())
    if (info.name.starts_with(wanted)) own[info.name.substr(wanted.size())] = tensor(file, info);
  return own;
}

}  // namespace deepspeed::checkpoint
