// The `checkpoint` block.
#pragma once

namespace deepspeed::checkpoint {

/// What to do when ranks are given different checkpoint tags.
enum class TagValidation { kIgnore, kWarn, kFail };

struct CheckpointConfig {
  TagValidation tag_validation = TagValidation::kWarn;
};

}  // namespace deepspeed::checkpoint
