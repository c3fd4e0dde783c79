// Runs a fuzzer over a checked-in corpus without libFuzzer, so that every compiler and sanitizer replays
// what was ever found. Usage: REPLAY CORPUS_DIR. Exit code 0 when every file ran; a file that fails ends
// the process by the sanitizer's or the oracle's hand, after its name.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
    return 2;
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());  // its own block: a read past it is seen
    std::fprintf(stderr, "%s\n", entry.path().c_str());
    (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++files;
  }
  std::printf("replayed %zu files\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus proves nothing
}
