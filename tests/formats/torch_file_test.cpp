#include "deepspeed/formats/torch_file.h"

#include <gmock/gmock.h>

#include <array>
#include <limits>
#include <numeric>

#include "images.h"
#include "pickles.h"
#include "tests/formats/allocation_meter.h"
#include "zip_images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/formats/goldens/torch";

std::vector<float> floats(const TorchFile& file, const char* name) {
  const MappedTensor* tensor = file.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<float> values(tensor->elements());
  read_floats(*tensor, 0, values.size(), values.data());
  return values;
}
std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.f);
  return values;
}
std::string error_in(const char* golden) {
  return error_of([&] { TorchFile file(kGoldens / golden); });
}

struct Views : ::testing::TestWithParam<const char*> {
  TorchFile file{kGoldens / GetParam()};
};
INSTANTIATE_TEST_SUITE_P(BothForms, Views, ::testing::Values("views.bin", "views_legacy.bin"));

TEST_P(Views, EveryTypeThatTorchSaves) {
  for (const char* name : {"float64", "float32", "float16", "bfloat16"})
    EXPECT_EQ(floats(file, name), counting(6)) << name;
  for (const char* name :
       {"int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"}) {
    const MappedTensor* tensor = file.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, (std::vector<int64_t>{2, 3}));
    const size_t width = dtype_size(*tensor->dtype());
    std::vector<std::byte> bytes(6 * width);
    read_elements(*tensor, 0, 6, bytes);
    const int last = std::string(name) == "bool" ? 1 : 5;
    EXPECT_EQ(std::to_integer<int>(bytes[5 * width]), last) << name;
    EXPECT_THAT(error_of([&] {
                  float value;
                  read_floats(*tensor, 0, 1, &value);
                }),
                HasSubstr("not floating point"));
  }
  EXPECT_EQ(file.find("bfloat16")->dtype(), Dtype::kBF16);
  EXPECT_EQ(file.find("bool")->dtype(), Dtype::kBool);
  EXPECT_EQ(file.find("uint16")->dtype(), Dtype::kU16);
}

TEST_P(Views, SharedStoragesAreMappedOnce) {
  EXPECT_EQ(floats(file, "whole"), counting(24));
  EXPECT_EQ(file.find("whole")->bytes.data(), file.find("tied")->bytes.data());
  EXPECT_EQ(file.find("row")->bytes.data(), file.find("whole")->bytes.data() + 12 * 4);
  EXPECT_TRUE(file.find("row")->contiguous());
  EXPECT_TRUE(file.find("one_high")->contiguous());
}

TEST_P(Views, StridedViewsAreGathered) {
  EXPECT_FALSE(file.find("transposed")->contiguous());
  EXPECT_EQ(file.find("transposed")->shape, (std::vector<int64_t>{6, 4}));
  std::vector<float> transposed;
  for (int column = 0; column < 6; ++column)
    for (int row = 0; row < 4; ++row) transposed.push_back(static_cast<float>(row * 6 + column));
  EXPECT_EQ(floats(file, "transposed"), transposed);
  EXPECT_THAT(floats(file, "column"), ElementsAre(1, 7, 13, 19));
  EXPECT_THAT(floats(file, "steps"), ElementsAre(1, 3, 5, 13, 15, 17));
  std::vector<float> permuted;
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j) permuted.push_back(static_cast<float>(i * 12 + j * 4 + k));
  EXPECT_EQ(floats(file, "permuted"), permuted);
}

TEST_P(Views, AnyRangeOfElementsIsThatOfTheWhole) {
  for (const char* name : {"whole", "transposed", "steps", "permuted", "column"}) {
    const std::vector<float> all = floats(file, name);
    const MappedTensor& tensor = *file.find(name);
    for (size_t begin = 0; begin <= all.size(); ++begin)
      for (size_t count = 0; begin + count <= all.size(); ++count) {
        std::vector<float> part(count);
        read_floats(tensor, begin, count, part.data());
        ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + static_cast<ptrdiff_t>(begin)))
            << name;
      }
    EXPECT_THAT(error_of([&] { read_floats(tensor, all.size(), 1, nullptr); }), HasSubstr("has no elements"));
    EXPECT_THAT(error_of([&] { read_floats(tensor, 1, ~size_t{0}, nullptr); }), HasSubstr("has no elements"));
  }
}

TEST_P(Views, ScalarsEmptyTensorsAndParametersAreTensorsLikeOthers) {
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_THAT(floats(file, "scalar"), ElementsAre(2.5f));
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(floats(file, "empty").empty());
  EXPECT_EQ(floats(file, "parameter"), counting(3));
  EXPECT_EQ(floats(file, "marked"), counting(4));
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(file.tensors().size(), 25u);
}

TEST(TorchFile, NestedContainersOfEveryProtocolAreDottedNames) {
  for (const char* name : {"checkpoint_protocol2.pt", "checkpoint_protocol3.pt", "checkpoint_protocol4.pt",
                           "checkpoint_protocol5.pt"}) {
    const TorchFile file(kGoldens / name);
    std::vector<std::string> names;
    for (const auto& tensor : file.tensors()) names.push_back(tensor.name);
    EXPECT_THAT(names, ElementsAre("module.weight", "module.layers.0", "module.layers.1.0",
                                   "optimizer.state.0.exp_avg"));
    EXPECT_EQ(floats(file, "module.layers.1.0"), counting(2));
  }
}

TEST(TorchFile, WhatIsNoPlainTensorIsRefusedByItsName) {
  EXPECT_THAT(error_in("class.bin"),
              AllOf(HasSubstr("class.bin' at byte"), HasSubstr("'__main__.Anything'")));
  EXPECT_THAT(error_in("complex.bin"), HasSubstr("'torch.ComplexFloatStorage'"));
  EXPECT_THAT(error_in("sparse.bin"), HasSubstr("'torch._utils._rebuild_sparse_tensor'"));
  EXPECT_THAT(error_in("float8.bin"), HasSubstr("'torch.float8_e4m3fn'"));
  EXPECT_THAT(error_in("script.pt"), HasSubstr("TorchScript"));
  EXPECT_THAT(error_in("expanded.bin"),
              AllOf(HasSubstr("'a' of shape [5] repeats"), HasSubstr(".contiguous()")));
  EXPECT_THAT(error_in("single.bin"), HasSubstr("single tensor without a name"));
}

TEST(TorchFile, EveryTruncationIsOneLineThatNamesTheFile) {
  for (const char* name : {"views.bin", "views_legacy.bin", "checkpoint_protocol4.pt"}) {
    const std::string whole = slurp(kGoldens / name);
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string cut = whole.substr(0, size);
      const std::string error = error_of([&] { TorchFile::from_bytes(image_of(cut), "cut.bin"); });
      ASSERT_THAT(error, HasSubstr("'cut.bin'")) << size;
      ASSERT_EQ(error.find('\n'), std::string::npos);
    }
  }
}

TEST(TorchFile, ADamagedByteNeverReadsOutsideTheFile) {
  for (const char* name : {"views.bin", "views_legacy.bin"}) {
    std::string bytes = slurp(kGoldens / name);
    for (size_t at = 0; at < bytes.size(); ++at) {
      constexpr std::array kChanges = {0x01, 0x80, 0xff};
      const char before = bytes[at];
      bytes[at] = static_cast<char>(before ^ kChanges[at % 3]);
      const std::string error = error_of([&] {
        const TorchFile file = TorchFile::from_bytes(image_of(bytes), "bent.bin");
        for (const auto& tensor : file.tensors()) {
          ASSERT_LE(tensor.elements() * dtype_size(*tensor.dtype()), bytes.size());
          std::vector<std::byte> all(tensor.elements() * dtype_size(*tensor.dtype()));
          read_elements(tensor, 0, tensor.elements(), all);
        }
      });
      ASSERT_TRUE(error == "no error" || error.find("'bent.bin'") != std::string::npos) << error;
      bytes[at] = before;
    }
  }
}

std::string error_of_file(const std::string& bytes) {
  const AllocationMeter meter;
  const std::string error = error_of([&] { TorchFile::from_bytes(image_of(bytes), "x.bin"); });
  EXPECT_TRUE(meter.fits(bytes.size())) << meter.peak() << " bytes: " << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  return error;
}
std::string error_of_view(int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  return error_of_file(pickles::file_of(pickles::tensor(offset, shape, strides)));
}

TEST(TorchFile, AViewMustLieWithinItsStorage) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(error_of_view(0, {2, 2}, {2, 1}), "no error");
  EXPECT_EQ(error_of_view(3, {1}, {1}), "no error");
  EXPECT_EQ(error_of_view(3, {1, 1}, {kHuge, kHuge}), "no error");
  EXPECT_EQ(error_of_view(kHuge, {0, kHuge}, {kHuge, kHuge}), "no error");
  EXPECT_THAT(error_of_view(1, {2, 2}, {2, 1}),
              AllOf(HasSubstr("'a' of shape [2, 2]"), HasSubstr("runs past")));
  EXPECT_THAT(error_of_view(4, {1}, {1}), HasSubstr("runs past"));
  EXPECT_THAT(error_of_view(0, {2}, {4}), HasSubstr("runs past"));
  EXPECT_THAT(error_of_view(0, {3, 3}, {kHuge, 1}), HasSubstr("runs past"));
  EXPECT_THAT(error_of_view(kHuge, {2}, {1}), HasSubstr("runs past"));
  EXPECT_THAT(error_of_view(2, {2, 2}, {kHuge / 2, kHuge / 2}), HasSubstr("runs past"));
  EXPECT_THAT(error_of_view(0, {kHuge, kHuge}, {0, 0}), HasSubstr("overflows"));
  EXPECT_THAT(error_of_view(0, {kHuge}, {0}), HasSubstr("repeats the 4 elements"));
  EXPECT_THAT(error_of_view(0, {-1}, {1}), HasSubstr("shape holds -1"));
  EXPECT_THAT(error_of_view(0, {2}, {-1}), HasSubstr("strides holds -1"));
  EXPECT_THAT(error_of_view(-1, {2}, {1}), HasSubstr("offset is not a number"));
  EXPECT_THAT(error_of_view(0, {2, 2}, {1}), HasSubstr("2 dimensions but 1 strides"));
  EXPECT_THAT(error_of_view(0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)),
              HasSubstr("more than 64 dimensions"));
}

TEST(TorchFile, AStorageMustBeThereAndHaveItsSize) {
  using namespace pickles;
  auto of_storage = [](const std::string& storage, const std::string& bytes = std::string(16, '\0')) {
    return error_of_file(file_of(tensor(storage, number(0), numbers({1}), numbers({1})), bytes));
  };
  EXPECT_EQ(of_storage(storage()), "no error");
  EXPECT_THAT(of_storage(storage("1")), HasSubstr("storage '1', which the file lacks"));
  EXPECT_THAT(of_storage(storage(), std::string(15, '\0')), HasSubstr("has 15 bytes"));
  EXPECT_THAT(of_storage(storage(), std::string(17, '\0')), HasSubstr("has 17 bytes"));
  EXPECT_THAT(of_storage(storage("0", 5)), HasSubstr("5 elements of 4 bytes but has 16"));
  EXPECT_THAT(of_storage(storage("0", int64_t{1} << 62)),
              HasSubstr("should have 4611686018427387904 elements"));
  EXPECT_THAT(of_storage(storage("0", -1)), HasSubstr("size is not a number"));
  EXPECT_EQ(of_storage(storage("0", 2, "DoubleStorage")), "no error");
  EXPECT_THAT(of_storage(storage("0", 2, "QInt8Storage")), HasSubstr("'torch.QInt8Storage'"));
}

TEST(TorchFile, ContainersThatHoldOneAnotherManyTimesAreNotListedManyTimes) {
  using namespace pickles;
  // Each list holds the one before it 8 times: 8^30 tensors.
  std::string value = tensor(0, {1}, {1}) + std::string(
                                                "q\0"
                                                "0",
                                                3);
  for (char level = 1; level <= 30; ++level) {
    value += "](";
    for (int i = 0; i < 8; ++i) value += std::string("h") + static_cast<char>(level - 1);
    value += std::string("eq") + level + "0";
  }
  EXPECT_THAT(error_of_file(file_of(value + "h\x1e")), HasSubstr("more than its"));
  // One that holds itself.
  EXPECT_THAT(error_of_file(file_of("]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a")),
              HasSubstr("deeper than 64"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "]";
  deep += "N";
  for (int i = 0; i < 100'000; ++i) deep += "a";
  EXPECT_THAT(error_of_file(file_of(deep)), HasSubstr("deeper than 64"));
}

TEST(TorchFile, TensorsOfOneNameAreRefused) {
  using namespace pickles;
  const std::string one = tensor(0, {1}, {1});
  EXPECT_THAT(error_of_file(file(dict({{text("a"), one}, {text("a"), one}}))),
              HasSubstr("'a' appears twice"));
  EXPECT_THAT(error_of_file(file(dict({{text("a.b"), one}, {text("a"), dict({{text("b"), one}})}}))),
              HasSubstr("'a.b' appears twice"));
  EXPECT_THAT(error_of_file(file(dict({{none(), one}}))), HasSubstr("neither text nor a number"));
  EXPECT_EQ(error_of_file(file(dict({{none(), none()}, {number(1), one}}))), "no error");
}

TEST(TorchFile, OtherFilesAreRefusedInOneLine) {
  EXPECT_THAT(error_of_file(""), HasSubstr("not a PyTorch file"));
  EXPECT_THAT(error_of_file("GGUF"), HasSubstr("not a PyTorch file"));
  EXPECT_THAT(error_of_file(zip_image({}).bytes), HasSubstr("not a PyTorch file"));
  EXPECT_THAT(error_of_file(zip_image({{"a", "b"}}).bytes), HasSubstr("without 'a/data.pkl'"));
  EXPECT_THAT(error_of_file(zip_image({{"m/data.pkl", pickles::pickle("}")}, {"m/byteorder", "big"}}).bytes),
              HasSubstr("big-endian"));
  ZipImage bent = zip_image({{"m/data.pkl", pickles::pickle("}")}});
  bent.bytes[bent.directory_begin - 2] = ']';
  EXPECT_THAT(error_of_file(bent.bytes), HasSubstr("'m/data.pkl' is damaged"));
}

TEST(TorchFile, AFileOfNoTensorsIsValid) {
  EXPECT_TRUE(TorchFile::from_bytes(image_of(pickles::file("}")), "x.bin").tensors().empty());
}

}  // namespace
}  // namespace deepspeed::formats
