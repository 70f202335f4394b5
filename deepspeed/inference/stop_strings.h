// Finds the texts that end an answer while it is written, whatever pieces it comes in. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deepspeed::inference {

/// The strings of one request. Immutable; shared by its sequences.
class StopStrings {
 public:
  /// None of them empty.
  explicit StopStrings(const std::vector<std::string>& strings);
  const std::vector<std::string>& strings() const { return strings_; }

 private:
  friend class StopFinder;
  std::vector<std::string> strings_;
  std::vector<std::vector<uint32_t>>
      fallback_;  // of Knuth, Morris and Pratt: how much still matches after a miss
};

/// The search in one text. A value: beams that part copy it.
///
/// The text ends before the stop string that is complete first, of two that are complete at once the longer;
/// so the result does not depend on how the text was cut into pieces. Text that may be the beginning of a
/// stop string is held back until it is certain that it is not.
class StopFinder {
 public:
  explicit StopFinder(std::shared_ptr<const StopStrings> strings);
  /// Takes more text and returns what is certain to belong to the answer. Nothing more after found().
  std::string push(std::string_view text);
  /// The end of the text: returns what was held back.
  std::string finish();
  /// The stop string at which the text ended.
  std::optional<size_t> found() const { return found_; }

 private:
  // Moves string i's search over one more byte; whether it is complete.
  bool step(size_t i, char byte);
  size_t longest_begun() const;

  std::shared_ptr<const StopStrings> strings_;
  std::vector<uint32_t> matched_;  // how many bytes of each string end the text
  std::string held_;
  std::optional<size_t> found_;
};

}  // namespace deepspeed::inference
