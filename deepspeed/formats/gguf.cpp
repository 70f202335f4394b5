#include "deepspeed/formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/byte_reader.h"

namespace deepspeed::formats {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kOldest = 2, kNewest = 3;
constexpr size_t kMaxGgufDimensions = 4, kMaxNameBytes = 64;
constexpr size_t kSmallestTensor = 8 + 4 + 4 + 8;  // of no letters and no dimensions
constexpr uint32_t kDefaultAlignment = 32;

struct TypeRow {
  uint32_t number;
  const char* name;
  std::optional<Encoding> encoding = std::nullopt;  // nothing: known, but cannot be read
};

// enum ggml_type in ggml/include/ggml.h.
constexpr std::array kTypes = {
    TypeRow{0, "F32", Dtype::kF32},
    TypeRow{1, "F16", Dtype::kF16},
    TypeRow{2, "Q4_0", BlockType::kQ4_0},
    TypeRow{3, "Q4_1"},
    TypeRow{6, "Q5_0", BlockType::kQ5_0},
    TypeRow{7, "Q5_1"},
    TypeRow{8, "Q8_0", BlockType::kQ8_0},
    TypeRow{9, "Q8_1"},
    TypeRow{10, "Q2_K"},
    TypeRow{11, "Q3_K"},
    TypeRow{12, "Q4_K", BlockType::kQ4_K},
    TypeRow{13, "Q5_K", BlockType::kQ5_K},
    TypeRow{14, "Q6_K", BlockType::kQ6_K},
    TypeRow{15, "Q8_K"},
    TypeRow{16, "IQ2_XXS"},
    TypeRow{17, "IQ2_XS"},
    TypeRow{18, "IQ3_XXS"},
    TypeRow{19, "IQ1_S"},
    TypeRow{20, "IQ4_NL"},
    TypeRow{21, "IQ3_S"},
    TypeRow{22, "IQ2_S"},
    TypeRow{23, "IQ4_XS"},
    TypeRow{24, "I8", Dtype::kI8},
    TypeRow{25, "I16", Dtype::kI16},
    TypeRow{26, "I32", Dtype::kI32},
    TypeRow{27, "I64", Dtype::kI64},
    TypeRow{28, "F64", Dtype::kF64},
    TypeRow{29, "IQ1_M"},
    TypeRow{30, "BF16", Dtype::kBF16},
    TypeRow{34, "TQ1_0"},
    TypeRow{35, "TQ2_0"},
    TypeRow{39, "MXFP4"},
    TypeRow{40, "NVFP4"},
    TypeRow{41, "Q1_0"},
};

// A tensor before the place of the data section is known.
struct Placed {
  MappedTensor tensor;
  uint64_t offset = 0, bytes = 0;
};

Encoding read_encoding(ByteReader& reader, const std::string& name) {
  const size_t at = reader.at();
  const auto number = reader.number<uint32_t>("type of a tensor");
  const auto* found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeRow& row) { return row.number == number; });
  if (found == kTypes.end()) reader.fail_at(at, "tensor '{}' has type {}, which is unknown", name, number);
  if (!found->encoding)
    reader.fail_at(at,
                   "tensor '{}' has type {}, which is not supported (F32, F16, BF16, Q8_0, Q4_0, Q5_0, Q4_K, "
                   "Q5_K and Q6_K are)",
                   name, found->name);
  return *found->encoding;
}

Placed read_tensor(ByteReader& reader, uint64_t alignment) {
  Placed placed;
  MappedTensor& tensor = placed.tensor;
  const size_t at = reader.at();
  const auto name_length = reader.number<uint64_t>("length of a tensor's name");
  if (name_length > kMaxNameBytes)
    reader.fail_at(at, "a tensor's name has {} bytes; {} are allowed", name_length, kMaxNameBytes);
  tensor.name = reader.text(name_length, "a tensor's name");
  const std::string name = shown(tensor.name);
  const auto dimensions = reader.number<uint32_t>("number of dimensions");
  if (dimensions > kMaxGgufDimensions)
    reader.fail_at(at, "tensor '{}' has {} dimensions; {} are allowed", name, dimensions, kMaxGgufDimensions);
  tensor.shape.resize(dimensions);
  // The file begins with the innermost.
  for (size_t d = dimensions; d-- > 0;) tensor.shape[d] = reader.number<int64_t>("a dimension");
  tensor.encoding = read_encoding(reader, name);
  placed.offset = reader.number<uint64_t>("offset of a tensor");

  const auto count = element_count(tensor.shape);
  const auto elements = static_cast<int64_t>(block_elements(tensor.encoding));
  if (!count || __builtin_mul_overflow(*count / block_elements(tensor.encoding), block_bytes(tensor.encoding),
                                       &placed.bytes))
    reader.fail_at(at, "tensor '{}' has shape {}, which is negative or overflows", name,
                   shape_text(tensor.shape));
  if ((dimensions == 0 ? 1 : tensor.shape.back()) % elements != 0)
    reader.fail_at(at, "tensor '{}' of type {} and shape {} has rows that are not whole blocks of {}", name,
                   encoding_name(tensor.encoding), shape_text(tensor.shape), elements);
  if (placed.offset % alignment != 0)
    reader.fail_at(at, "tensor '{}' has offset {}, which is not a multiple of the alignment {}", name,
                   placed.offset, alignment);
  return placed;
}

uint64_t read_alignment(const GgufMetadata& metadata, const std::string& where) {
  constexpr std::string_view kKey = "general.alignment";
  if (!metadata.contains(kKey)) return kDefaultAlignment;
  DS_CHECK(metadata.value(kKey).type == GgufType::kU32, "'{}': metadata '{}' should be U32, not {}", where,
           kKey, gguf_type_name(metadata.value(kKey).type));
  const auto alignment = static_cast<uint64_t>(metadata.integer(kKey));
  DS_CHECK(std::has_single_bit(alignment), "'{}': the alignment {} is not a power of 2", where, alignment);
  return alignment;
}

// Gives every tensor its bytes of the data section.
void place_tensors(std::vector<Placed>& tensors, std::span<const std::byte> data, const std::string& where) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tensors[a].offset < tensors[b].offset; });
  uint64_t end = 0;
  for (size_t i : order) {
    Placed& placed = tensors[i];
    const std::string name = shown(placed.tensor.name);
    if (placed.bytes == 0) continue;
    DS_CHECK(placed.offset <= data.size() && placed.bytes <= data.size() - placed.offset,
             "'{}' is truncated: tensor '{}' takes {} bytes from {} on, the data section has {}", where, name,
             placed.bytes, placed.offset, data.size());
    DS_CHECK(placed.offset >= end,
             "'{}': tensor '{}' overlaps the one before it (begins at {}, should at {})", where, name,
             placed.offset, end);
    placed.tensor.bytes = data.subspan(placed.offset, placed.bytes);
    end = placed.offset + placed.bytes;
  }
}

uint32_t read_version(ByteReader& reader) {
  const size_t at = reader.at();
  const auto version = reader.number<uint32_t>("version");
  if (version != 0 && (version & 0xffff) == 0)
    reader.fail_at(at, "the file is big-endian, which is not supported");
  if (version < kOldest || version > kNewest)
    reader.fail_at(at, "GGUF version {} is not supported; {} to {} are", version, kOldest, kNewest);
  return version;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path), mapped_(std::in_place, path) {
  parse(mapped_->bytes());
  place_in_file(tensors_, mapped_->bytes(), path_);
}

GgufFile GgufFile::from_bytes(std::span<const std::byte> image, const std::filesystem::path& name) {
  GgufFile file;
  file.path_ = name;
  file.parse(image);
  return file;
}

bool GgufFile::recognizes(std::span<const std::byte> image) {
  return image.size() >= kMagic.size() && std::memcmp(image.data(), kMagic.data(), kMagic.size()) == 0;
}

void GgufFile::parse(std::span<const std::byte> image) {
  const std::string where = path_.string();
  DS_CHECK(recognizes(image), "'{}' is not a GGUF file: it does not begin with GGUF", where);
  ByteReader reader(image, where, kMagic.size());
  version_ = read_version(reader);
  const auto tensor_count = reader.number<uint64_t>("number of tensors"),
             value_count = reader.number<uint64_t>("number of metadata values");
  metadata_.emplace(reader, value_count, where);
  header_ = image.first(reader.at());
  const uint64_t alignment = read_alignment(*metadata_, where);
  if (tensor_count > reader.remaining() / kSmallestTensor)
    reader.fail("the file claims {} tensors, but only {} bytes are left", tensor_count, reader.remaining());
  std::vector<Placed> placed;
  placed.reserve(static_cast<size_t>(tensor_count));
  for (uint64_t i = 0; i < tensor_count; ++i) placed.push_back(read_tensor(reader, alignment));
  const uint64_t padding = (alignment - reader.at() % alignment) % alignment;
  place_tensors(placed, image.subspan(reader.at() + std::min<uint64_t>(padding, reader.remaining())), where);
  tensors_.reserve(placed.size());
  for (Placed& one : placed) tensors_.push_back(std::move(one.tensor));
  for (size_t i = 0; i < tensors_.size(); ++i)
    DS_CHECK(index_.emplace(tensors_[i].name, i).second, "'{}': tensor '{}' appears twice", where,
             shown(tensors_[i].name));
}

std::vector<std::byte> GgufFile::metadata_image() const {
  std::vector<std::byte> image(header_.begin(), header_.end());
  std::memset(image.data() + kMagic.size() + sizeof version_, 0, sizeof(uint64_t));  // the number of tensors
  return image;
}

const MappedTensor* GgufFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace deepspeed::formats
