#include "deepspeed/formats/pickle_globals.h"

#include <array>

namespace deepspeed::formats {
namespace {

using G = PickleGlobal;

constexpr std::array kRows = {
    PickleGlobalRow{"collections", "OrderedDict", G::kOrderedDict},
    PickleGlobalRow{"torch", "Size", G::kSize},
    PickleGlobalRow{"torch", "device", G::kNotATensor},
    PickleGlobalRow{"_codecs", "encode", G::kNotATensor},  // bytes, in protocol 2
    PickleGlobalRow{"torch._utils", "_rebuild_tensor", G::kRebuildTensor},
    PickleGlobalRow{"torch._utils", "_rebuild_tensor_v2", G::kRebuildTensorV2},
    PickleGlobalRow{"torch._utils", "_rebuild_tensor_v3", G::kRebuildTensorV3},
    PickleGlobalRow{"torch._utils", "_rebuild_parameter", G::kRebuildParameter},
    PickleGlobalRow{"torch._utils", "_rebuild_parameter_with_state", G::kRebuildParameter},
    PickleGlobalRow{"torch._tensor", "_rebuild_from_type_v2", G::kRebuildFromType},
    PickleGlobalRow{"torch", "Tensor", G::kTensorType},
    PickleGlobalRow{"torch.nn.parameter", "Parameter", G::kTensorType},

    PickleGlobalRow{"torch", "DoubleStorage", G::kStorageType, Dtype::kF64},
    PickleGlobalRow{"torch", "FloatStorage", G::kStorageType, Dtype::kF32},
    PickleGlobalRow{"torch", "HalfStorage", G::kStorageType, Dtype::kF16},
    PickleGlobalRow{"torch", "BFloat16Storage", G::kStorageType, Dtype::kBF16},
    PickleGlobalRow{"torch", "LongStorage", G::kStorageType, Dtype::kI64},
    PickleGlobalRow{"torch", "IntStorage", G::kStorageType, Dtype::kI32},
    PickleGlobalRow{"torch", "ShortStorage", G::kStorageType, Dtype::kI16},
    PickleGlobalRow{"torch", "CharStorage", G::kStorageType, Dtype::kI8},
    PickleGlobalRow{"torch", "ByteStorage", G::kStorageType, Dtype::kU8},
    PickleGlobalRow{"torch", "BoolStorage", G::kStorageType, Dtype::kBool},
    PickleGlobalRow{"torch.storage", "UntypedStorage", G::kStorageType},

    PickleGlobalRow{"torch", "float64", G::kDtype, Dtype::kF64},
    PickleGlobalRow{"torch", "float32", G::kDtype, Dtype::kF32},
    PickleGlobalRow{"torch", "float16", G::kDtype, Dtype::kF16},
    PickleGlobalRow{"torch", "bfloat16", G::kDtype, Dtype::kBF16},
    PickleGlobalRow{"torch", "int64", G::kDtype, Dtype::kI64},
    PickleGlobalRow{"torch", "int32", G::kDtype, Dtype::kI32},
    PickleGlobalRow{"torch", "int16", G::kDtype, Dtype::kI16},
    PickleGlobalRow{"torch", "int8", G::kDtype, Dtype::kI8},
    PickleGlobalRow{"torch", "uint8", G::kDtype, Dtype::kU8},
    PickleGlobalRow{"torch", "uint16", G::kDtype, Dtype::kU16},
    PickleGlobalRow{"torch", "uint32", G::kDtype, Dtype::kU32},
    PickleGlobalRow{"torch", "uint64", G::kDtype, Dtype::kU64},
    PickleGlobalRow{"torch", "bool", G::kDtype, Dtype::kBool},
};

}  // namespace

std::optional<uint32_t> find_pickle_global(std::string_view module, std::string_view name) {
  for (uint32_t i = 0; i < kRows.size(); ++i)
    if (kRows[i].module == module && kRows[i].name == name) return i;
  return std::nullopt;
}

const PickleGlobalRow& pickle_global(uint32_t number) { return kRows[number]; }

}  // namespace deepspeed::formats
