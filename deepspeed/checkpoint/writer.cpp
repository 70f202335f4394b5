#include "deepspeed/checkpoint/writer.h"

#include <fcntl.h>
#include <stdio.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/base/log.h"
#include "deepspeed/comm/together.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::checkpoint {
namespace {
namespace fs = std::filesystem;

formats::Dtype dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return formats::Dtype::kF32;
    case at::kDouble:
      return formats::Dtype::kF64;
    case at::kHalf:
      return formats::Dtype::kF16;
    case at::kBFloat16:
      return formats::Dtype::kBF16;
    case at::kLong:
      return formats::Dtype::kI64;
    case at::kInt:
      return formats::Dtype::kI32;
    case at::kShort:
      return formats::Dtype::kI16;
    case at::kChar:
      return formats::Dtype::kI8;
    case at::kByte:
      return formats::Dtype::kU8;
    case at::kBool:
      return formats::Dtype::kBool;
    default:
      base::fail("a checkpoint cannot hold tensors of type {}", c10::toString(type));
  }
}

formats::TensorView view_of(std::string name, const at::Tensor& tensor, std::vector<at::Tensor>& kept) {
  kept.push_back(tensor.detach().cpu().contiguous());
  const at::Tensor& t = kept.back();
  return {.name = std::move(name),
          .dtype = dtype_of(t.scalar_type()),
          .shape = t.sizes().vec(),
          .data = {static_cast<const std::byte*>(t.const_data_ptr()), static_cast<size_t>(t.nbytes())}};
}

void write_rank_file(const fs::path& path, const RankPart& part) {
  std::vector<at::Tensor> kept;
  std::vector<formats::TensorView> views;
  for (const auto& piece : part.pieces) {
    const auto name = [&](const std::string& state) {
      return fmt::format("{}/{}@{}", state, piece.parameter, piece.begin);
    };
    for (const auto& [state, tensor] : piece.states) views.push_back(view_of(name(state), tensor, kept));
    for (const auto& [state, stored] : piece.stored)
      views.push_back({.name = name(state),
                       .dtype = dtype_of(stored.dtype),
                       .shape = {stored.numel},
                       .data = {},
                       .read = stored.read});
  }
  for (const auto& [name, tensor] : part.whole) views.push_back(view_of("whole/" + name, tensor, kept));
  for (const auto& [name, tensor] : part.own) views.push_back(view_of(kOwnPrefix + name, tensor, kept));
  formats::write_safetensors(path, views);
}

std::string agreed_tag(const SaveOptions& options, comm::Group& group) {
  check_tag(options.tag);
  const auto tags = group.all_gather_object(options.tag);
  const bool same =
      std::all_of(tags.begin(), tags.end(), [&](const auto& tag) { return tag == tags.front(); });
  if (same || options.tag_validation == TagValidation::kIgnore) return tags.front();
  DS_CHECK(options.tag_validation != TagValidation::kFail,
           "the ranks were given different checkpoint tags (rank 0: '{}', rank {}: '{}')", tags.front(),
           group.rank(), options.tag);
  base::log_warning("the ranks were given different checkpoint tags; rank 0's, '{}', is used", tags.front());
  return tags.front();
}

// Puts the finished folder in place. Where a checkpoint of that name exists the two are exchanged in one
// step, so that at no moment the name is missing; file systems that cannot exchange get two renames.
void publish(const fs::path& temporary, const fs::path& final_name) {
  base::sync_directory(temporary);
  if (!fs::exists(final_name)) {
    fs::rename(temporary, final_name);
  } else if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_name.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(temporary);
  } else {
    const fs::path old = final_name.string() + ".replaced";
    fs::remove_all(old);
    fs::rename(final_name, old);
    fs::rename(temporary, final_name);
    fs::remove_all(old);
  }
  base::sync_directory(final_name.parent_path());
}

}  // namespace

std::string rank_file_name(int rank) { return fmt::format("rank_{:05}.safetensors", rank); }

void check_tag(const std::string& tag) {
  DS_CHECK(!tag.empty() && tag != "." && tag != ".." && tag != "latest" &&
               tag.find_first_of("/\\\n") == std::string::npos && tag.size() < 200,
           "'{}' cannot be a checkpoint tag: it must be a plain folder name", tag);
}

void save(const SaveOptions& options, const RankPart& part, const nlohmann::ordered_json& state,
          comm::Group& group) {
  DS_CHECK(!options.folder.empty(), "save_checkpoint needs a folder");
  const std::string tag = agreed_tag(options, group);
  const fs::path final_name = options.folder / tag, temporary = options.folder / (tag + ".incomplete");
  const std::string what = fmt::format("checkpoint '{}' was not saved", final_name.string());
  const bool first = group.rank() == 0;
  try {
    comm::together(group, what, [&] {
      if (!first) return;
      fs::remove_all(temporary);
      fs::create_directories(temporary);
    });
    comm::together(group, what, [&] { write_rank_file(temporary / rank_file_name(group.rank()), part); });
    comm::together(group, what, [&] {
      if (!first) return;
      nlohmann::ordered_json document = state;
      document["tag"] = tag;
      document["rank_files"] = group.size();
      base::write_text_file(temporary / "state.json", document.dump(1) + "\n");
      publish(temporary, final_name);
      if (options.save_latest) base::write_text_file(options.folder / "latest", tag);
    });
  } catch (...) {
    std::error_code ignored;
    if (first) fs::remove_all(temporary, ignored);
    throw;
  }
}

}  // namespace deepspeed::checkpoint
