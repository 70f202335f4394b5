#include "deepspeed/formats/torch_file.h"

#include <algorithm>
#include <array>
#include <set>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/byte_reader.h"
#include "deepspeed/formats/zip.h"

namespace deepspeed::formats {
namespace {

using Bytes = std::span<const std::byte>;
using Kind = PickleValue::Kind;

// torch/serialization.py: MAGIC_NUMBER as a pickle of protocol 2 writes it, and PROTOCOL_VERSION.
constexpr std::string_view kLegacyMagic{"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"};
constexpr int64_t kLegacyVersion = 1001;

// A pickle and the bytes of its storages by key.
struct Contents {
  Pickle pickle;
  size_t pickle_bytes;
  std::map<std::string, Bytes, std::less<>> storages;
};

// Lists a pickle's tensors by their dotted names.
class TensorLister {
 public:
  TensorLister(const Contents& contents, const std::string& where)
      : contents_(contents), where_(where), allowance_(contents.pickle_bytes * 8 + 4096) {}

  std::vector<MappedTensor> list() {
    if (holds(contents_.pickle.root())) visit(contents_.pickle.root(), "", 0);
    return std::move(tensors_);
  }

 private:
  static constexpr int kMaxDepth = 64;

  // Containers that hold one another many times would be listed exponentially often.
  void spend(size_t amount) {
    DS_CHECK(amount <= allowance_, "'{}': its pickle names more than its {} bytes justify", where_,
             contents_.pickle_bytes);
    allowance_ -= amount;
  }

  bool holds(PickleValue value) const {
    return value.kind == Kind::kTensor || !contents_.pickle.items(value).empty();
  }

  // A tensor, or a container that is not empty.
  void visit(PickleValue value, const std::string& name, int depth) {
    spend(name.size());
    if (value.kind == Kind::kTensor) return add(value, name);
    DS_CHECK(depth < kMaxDepth, "'{}': containers within containers deeper than {} at '{}'", where_,
             kMaxDepth, shown(name));
    const auto items = contents_.pickle.items(value);
    const std::string prefix = name.empty() ? name : name + ".";
    const bool dict = value.kind == Kind::kDict;
    for (size_t i = dict ? 1 : 0; i < items.size(); i += dict ? 2 : 1) {
      spend(1);
      if (holds(items[i]))
        visit(items[i], prefix + (dict ? key_text(items[i - 1]) : std::to_string(i)), depth + 1);
    }
  }

  std::string key_text(PickleValue key) const {
    if (key.kind == Kind::kText) return std::string(key.text());
    DS_CHECK(key.kind == Kind::kInt, "'{}': a dict has a key that is neither text nor a number", where_);
    return std::to_string(key.integer);
  }

  void add(PickleValue value, const std::string& name) {
    DS_CHECK(!name.empty(), "'{}' holds a single tensor without a name, not a model's weights", where_);
    PickledTensor pickled = contents_.pickle.tensor(value);
    spend(2 * pickled.shape.size());
    DS_CHECK(names_.insert(name).second, "'{}': tensor '{}' appears twice", where_, shown(name));
    tensors_.push_back(place(std::move(pickled), name));
  }

  Bytes storage_bytes(const PickledStorage& storage, const std::string& name) const {
    const auto found = contents_.storages.find(storage.key);
    DS_CHECK(found != contents_.storages.end(),
             "'{}': tensor '{}' lies in storage '{}', which the file lacks", where_, shown(name),
             shown(storage.key));
    const size_t width = storage.dtype ? dtype_size(*storage.dtype) : 1;
    size_t bytes = 0;
    const bool fits = !__builtin_mul_overflow(static_cast<size_t>(storage.count), width, &bytes);
    DS_CHECK(
        fits && bytes == found->second.size(),
        "'{}': tensor '{}' lies in storage '{}', which should have {} elements of {} bytes but has {} bytes",
        where_, shown(name), shown(storage.key), storage.count, width, found->second.size());
    return found->second;
  }

  MappedTensor place(PickledTensor pickled, const std::string& name) const {
    const Bytes storage = storage_bytes(pickled.storage, name);
    const size_t width = dtype_size(pickled.dtype), most = storage.size() / width;
    const auto count = element_count(pickled.shape);
    DS_CHECK(count.has_value(), "'{}': tensor '{}' has shape {}, whose size overflows", where_, shown(name),
             shape_text(pickled.shape));
    MappedTensor tensor{name, pickled.dtype, std::move(pickled.shape), std::move(pickled.strides), {}};
    if (*count == 0) {
      tensor.strides.clear();
      return tensor;
    }
    int64_t last = pickled.offset;  // its last element
    bool fits = true;
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      int64_t extent = 0;
      if (tensor.shape[d] == 1) tensor.strides[d] = 0;
      fits = fits && !__builtin_mul_overflow(tensor.shape[d] - 1, tensor.strides[d], &extent) &&
             !__builtin_add_overflow(last, extent, &last);
    }
    DS_CHECK(
        fits && static_cast<size_t>(last) < most,
        "'{}': tensor '{}' of shape {}, strides {} and offset {} runs past its storage '{}' of {} elements",
        where_, shown(name), shape_text(tensor.shape), shape_text(tensor.strides), pickled.offset,
        shown(pickled.storage.key), most);
    DS_CHECK(
        *count <= most,
        "'{}': tensor '{}' of shape {} repeats the {} elements of its storage: save it with .contiguous()",
        where_, shown(name), shape_text(tensor.shape), most);
    const auto first = static_cast<size_t>(pickled.offset);
    tensor.bytes = storage.subspan(first * width, (static_cast<size_t>(last) - first + 1) * width);
    if (strides_are_contiguous(tensor.shape, tensor.strides)) tensor.strides.clear();
    return tensor;
  }

  const Contents& contents_;
  const std::string& where_;
  size_t allowance_;
  std::vector<MappedTensor> tensors_;
  std::set<std::string> names_;
};

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// FOLDER/data.pkl, FOLDER/data/KEY and, since version 2.1, FOLDER/byteorder.
Contents read_zip(Bytes image, const std::string& where) {
  const ZipArchive zip(image, where);
  DS_CHECK(!zip.entries().empty(), "'{}' is an empty zip file, not a PyTorch file", where);
  const std::string& first = zip.entries().front().name;
  const std::string folder = first.substr(0, first.find('/')) + "/";
  const ZipEntry* pickle = zip.find(folder + "data.pkl");
  DS_CHECK(pickle != nullptr, "'{}' is a zip file without '{}data.pkl': not a PyTorch file", where,
           shown(folder));
  DS_CHECK(zip.find(folder + "constants.pkl") == nullptr,
           "'{}' is a TorchScript program, not weights: save its state_dict() instead", where);
  if (const ZipEntry* order = zip.find(folder + "byteorder"))
    DS_CHECK(text_of(zip.data(*order)) == "little",
             "'{}' was written on a big-endian machine, which is not supported", where);
  zip.check_crc(*pickle);
  Contents contents{
      Pickle(image.first(pickle->begin + pickle->size), pickle->begin, where), pickle->size, {}};
  const std::string data = folder + "data/";
  for (const ZipEntry& entry : zip.entries())
    if (entry.name.starts_with(data))
      contents.storages.emplace(entry.name.substr(data.size()), zip.data(entry));
  return contents;
}

bool is_legacy_magic(const Pickle& pickle) {
  return pickle.root().kind == Kind::kLong && pickle.root().text() == kLegacyMagic;
}

void check_legacy_machine(const Pickle& pickle, const std::string& where) {
  const auto items = pickle.items(pickle.root());
  for (size_t i = 0; i + 1 < items.size(); i += 2)
    if (items[i].kind == Kind::kText && items[i].text() == "little_endian")
      DS_CHECK(items[i + 1].kind == Kind::kBool && items[i + 1].integer == 1,
               "'{}' was written on a big-endian machine, which is not supported", where);
}

// Pickles of magic number, version, machine, the object and the storages' keys; then for each key the number
// of elements and the elements, whose type only the object's pickle knows.
Contents read_legacy(Bytes image, const std::string& where) {
  const Pickle magic(image, 0, where);
  DS_CHECK(is_legacy_magic(magic), "'{}' is not a PyTorch file", where);
  const Pickle version(image, magic.end(), where);
  DS_CHECK(version.root().kind == Kind::kInt && version.root().integer == kLegacyVersion,
           "'{}' at byte {}: this version of PyTorch's file format is not supported", where, magic.end());
  const Pickle machine(image, version.end(), where);
  check_legacy_machine(machine, where);
  Contents contents{Pickle(image, machine.end(), where), 0, {}};
  const size_t pickle_end = contents.pickle.end();
  contents.pickle_bytes = pickle_end - machine.end();
  const Pickle keys(image, pickle_end, where);
  DS_CHECK(keys.root().kind == Kind::kList, "'{}' at byte {}: the storages' keys are not a list", where,
           pickle_end);
  std::map<std::string_view, size_t> widths;
  for (const PickledStorage& storage : contents.pickle.storages())
    widths.emplace(storage.key, storage.dtype ? dtype_size(*storage.dtype) : 1);
  ByteReader reader(image, where, keys.end());
  for (const PickleValue key : keys.items(keys.root())) {
    const size_t at = reader.at();
    if (key.kind != Kind::kText || !widths.contains(key.text()))
      reader.fail("a storage is announced that no tensor uses");
    const auto count = reader.number<uint64_t>("number of elements of a storage");
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(count, widths[key.text()], &bytes))
      reader.fail_at(at, "storage '{}' claims {} elements", shown(key.text()), count);
    if (!contents.storages.emplace(std::string(key.text()), reader.bytes(bytes, "a storage")).second)
      reader.fail_at(at, "storage '{}' appears twice", shown(key.text()));
  }
  return contents;
}

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path) : path_(path), mapped_(std::in_place, path) {
  parse(mapped_->bytes());
  place_in_file(tensors_, mapped_->bytes(), path_);
}

TorchFile TorchFile::from_bytes(Bytes image, const std::filesystem::path& name) {
  TorchFile file;
  file.path_ = name;
  file.parse(image);
  return file;
}

bool TorchFile::recognizes(Bytes image) {
  constexpr std::string_view kLegacyStart{"\x80\x02\x8a\x0a"};
  if (ZipArchive::recognizes(image)) return true;
  const std::string_view start = text_of(image).substr(0, kLegacyStart.size() + kLegacyMagic.size());
  return start.starts_with(kLegacyStart) && start.substr(kLegacyStart.size()) == kLegacyMagic;
}

void TorchFile::parse(Bytes image) {
  const std::string where = path_.string();
  DS_CHECK(recognizes(image),
           "'{}' is not a PyTorch file: it begins neither as a zip file nor as torch.save did "
           "before version 1.6",
           where);
  const Contents contents =
      ZipArchive::recognizes(image) ? read_zip(image, where) : read_legacy(image, where);
  tensors_ = TensorLister(contents, where).list();
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const MappedTensor* TorchFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace deepspeed::formats
