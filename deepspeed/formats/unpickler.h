// A pickle of PyTorch tensors and containers as values, without running anything. Python's pickle calls what
// the file names; here a name is looked up in a fixed list, and whatever is not a tensor's part is refused by
// its name. Opcodes of protocols 2 to 5 (Python's Lib/pickletools.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/dtype.h"

namespace deepspeed::formats {

/// One value. Text is a view of the file; containers, storages and tensors are numbers that Pickle knows.
struct PickleValue {
  enum class Kind : uint8_t {
    kMissing,  // of a memo's gap; never of a value
    kNone,
    kBool,
    kInt,
    kLong,  // a whole number beyond 64 bits, as its little-endian bytes
    kFloat,
    kText,
    kBytes,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor,
    kOther,  // of an allowed type that is of no interest, for example a device
  };
  Kind kind = Kind::kMissing;
  uint32_t size = 0;  // of text, bytes and longs
  union {
    int64_t integer = 0;  // also booleans
    double number;
    const char* data;
    uint32_t index;
  };

  std::string_view text() const { return {data, size}; }
};

/// Bytes that tensors share, as torch.save names them.
struct PickledStorage {
  std::string_view key;
  std::optional<Dtype> dtype;  // nothing: bytes without a type
  int64_t count = 0;           // elements, or bytes
};

/// A view of a storage: its numbers are checked to be whole and not negative, not to fit the storage.
struct PickledTensor {
  PickledStorage storage;
  Dtype dtype = Dtype::kF32;
  int64_t offset = 0;  // of its first element, in elements
  std::vector<int64_t> shape, strides;
};

/// Most opcodes of one pickle.
inline constexpr size_t kMaxPickleOpcodes = size_t{1} << 24;

/// What one pickle says. Memory is bounded by a constant times the pickle's bytes: text is never copied, and
/// shapes become numbers only when a tensor is asked for. Every violation is an Error that names file and
/// offset.
class Pickle {
 public:
  /// Reads the pickle that begins at byte `begin` of a file's image, which must outlive this object; `where`
  /// names the file in messages.
  Pickle(std::span<const std::byte> image, size_t begin, const std::string& where);

  PickleValue root() const { return root_; }
  /// Of the byte behind its end.
  size_t end() const { return end_; }
  /// Of a tuple or list its values, of a dict keys and values in turn, in the order they were set.
  std::span<const PickleValue> items(PickleValue container) const;
  PickledTensor tensor(PickleValue value) const;
  /// Every storage that it refers to, as often as it does.
  const std::vector<PickledStorage>& storages() const { return storages_; }

 private:
  friend class PickleMachine;
  struct Tensor {
    PickleValue storage, offset, shape, strides;
    Dtype dtype;
    size_t at;  // where the pickle makes it
  };
  std::vector<int64_t> numbers(PickleValue tuple, const char* what, size_t at) const;

  std::string where_;
  PickleValue root_;
  size_t end_ = 0;
  std::vector<std::vector<PickleValue>> containers_;
  std::vector<PickledStorage> storages_;
  std::vector<Tensor> tensors_;
};

}  // namespace deepspeed::formats
