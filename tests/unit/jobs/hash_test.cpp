// The hash module's kinds, as jobs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "tests/unit/sdk/fake_job.h"

namespace quern::sdk {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class Preloaded : public testing::Environment {
 public:
  void SetUp() override { quern_job_module_v1()->preload(); }
};
[[maybe_unused]] const auto* const kPreloaded = testing::AddGlobalTestEnvironment(new Preloaded);

std::string run(const char* kind, const std::string& params, std::string_view input) {
  FakeJob job(find_kind(kind), params);
  job.add_input(input).run();
  return job.text();
}

JobError refused(const char* kind, const std::string& params, std::string_view input = "secret") {
  return error_of([&] { (void)run(kind, params, input); });
}

std::string verify(const std::string& hash, std::string_view password) {
  return run("hash.verify", R"({"hash":")" + hash + "\"}", password);
}

// ---- Answers -----------------------------------------------------------------------------------------

TEST(HashModule, EveryKindIsSensitive) {
  for (const Kind& kind : quern_job_module_v1()->kinds) EXPECT_TRUE(kind.sensitive) << kind.name;
}

TEST(HashScrypt, DefaultsAreNodes) {
  // crypto.scryptSync("secret", "salt", 64).toString("hex")
  EXPECT_EQ(run("hash.scrypt", R"({"salt":"salt","encoding":"hex"})", "secret"),
            "05ffaebcca41770af425d4ba9b4e7bcdff532237dca931c192a36d94db7307d4"
            "c2df95e606514b4113ccb3ad3c19f7ca648e373a112a6b8290f3a69818aa9b7e");
}

TEST(HashScrypt, EncodingsAreTheSameBytes) {
  const std::string base = R"({"salt":"73616c74","salt_encoding":"hex","N":16,"dk_len":8,"encoding":)";
  EXPECT_EQ(run("hash.scrypt", base + "\"raw\"}", "secret").size(), 8U);
  EXPECT_THAT(run("hash.scrypt", base + "\"hex\"}", "secret"), MatchesRegex("[0-9a-f]{16}"));
  EXPECT_THAT(run("hash.scrypt", base + "\"base64\"}", "secret"), MatchesRegex("[0-9A-Za-z+/]{11}="));
  EXPECT_THAT(run("hash.scrypt", base + "\"phc\"}", "secret"),
              MatchesRegex(R"(\$scrypt\$ln=4,r=8,p=1\$c2FsdA\$[0-9A-Za-z+/]{11})"));
}

TEST(HashScrypt, SaltIsTheSameInEveryEncoding) {
  const auto with = [](const char* salt, const char* encoding) {
    return run("hash.scrypt",
               std::string(R"({"N":16,"encoding":"hex","salt":")") + salt + R"(","salt_encoding":")" + encoding + "\"}",
               "secret");
  };
  EXPECT_EQ(with("NaCl", "utf8"), with("4e61436c", "hex"));
  EXPECT_EQ(with("NaCl", "utf8"), with("TmFDbA==", "base64"));
  EXPECT_EQ(with("NaCl", "utf8"), with("TmFDbA", "base64"));
}

class Kdf : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Kdf, RoundTripsThroughVerify) {
  const auto [kind, params] = GetParam();
  const std::string hash = run(kind, params, "correct horse");
  EXPECT_EQ(verify(hash, "correct horse"), "true") << hash;
  EXPECT_EQ(verify(hash, "correct horsf"), "false") << hash;
  EXPECT_EQ(verify(hash, ""), "false") << hash;
}

TEST_P(Kdf, ARandomSaltIsNewEachTime) {
  const auto [kind, params] = GetParam();
  EXPECT_NE(run(kind, params, "secret"), run(kind, params, "secret"));
}

TEST_P(Kdf, AnEmptyPasswordIsAPassword) {
  const auto [kind, params] = GetParam();
  const std::string hash = run(kind, params, "");
  EXPECT_EQ(verify(hash, ""), "true") << hash;
  EXPECT_EQ(verify(hash, "x"), "false") << hash;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Kdf,
                         testing::Values(std::pair("hash.scrypt", R"({"N":16})"),
                                         std::pair("hash.pbkdf2", R"({"iterations":3})"),
                                         std::pair("hash.pbkdf2", R"({"iterations":3,"digest":"sha512","dk_len":64})"),
                                         std::pair("hash.argon2id", R"({"memory_kib":64,"time":1})"),
                                         std::pair("hash.argon2id", R"({"memory_kib":64,"time":1,"parallelism":2})"),
                                         std::pair("hash.bcrypt", R"({"cost":4})")));

TEST(HashVerify, AChangedHashIsFalse) {
  const std::string hash = run("hash.scrypt", R"({"N":16})", "secret");
  std::string other = hash;
  other[other.size() - 10] = other[other.size() - 10] == 'A' ? 'B' : 'A';
  EXPECT_EQ(verify(other, "secret"), "false");
}

TEST(HashDigest, OfALargeInputIsTakenInSlices) {
  const std::string data(9'000'000, 'a');
  FakeJob job(find_kind("hash.digest"), "{}");
  job.add_input(data).run();
  EXPECT_EQ(job.text(), "6a04ab516c166c874f1ed30eecfe2c600147179bb8b192fa9ad6320bff925dc6");
  EXPECT_EQ(job.reports.back(), std::pair(std::uint64_t{9'000'000}, std::uint64_t{9'000'000}));
  job.cancelled = true;
  EXPECT_EQ(error_of([&] { job.run(); }).code(), JobErrorCode::kCancelled);
}

// ---- Refusals ----------------------------------------------------------------------------------------

TEST(HashScrypt, CostMustBeAPowerOfTwo) {
  const JobError error = refused("hash.scrypt", R"({"N":1000})");
  EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument);
  EXPECT_EQ(error.field(), "N");
  EXPECT_THAT(error.what(), HasSubstr("power of two"));
}

TEST(HashScrypt, MemoryIsBounded) {
  EXPECT_EQ(refused("hash.scrypt", R"({"N":2097152,"r":8})").field(), "N");
  EXPECT_EQ(refused("hash.scrypt", R"({"N":16384,"r":1024})").field(), "N");
  EXPECT_EQ(refused("hash.scrypt", R"({"N":65536,"r":1})").field(), "N");
}

TEST(HashScrypt, WithoutASaltOnlyAPhcStringMakesSense) {
  EXPECT_EQ(refused("hash.scrypt", R"({"encoding":"hex"})").field(), "salt");
}

TEST(HashScrypt, AMalformedSaltIsNamed) {
  for (const char* params :
       {R"({"salt":"abc","salt_encoding":"hex"})", R"({"salt":"zz","salt_encoding":"hex"})",
        R"({"salt":"a","salt_encoding":"base64"})", R"({"salt":"TmFDbA=","salt_encoding":"base64"})",
        R"({"salt":"TmFD-_","salt_encoding":"base64"})"}) {
    const JobError error = refused("hash.scrypt", params);
    EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument) << params;
    EXPECT_EQ(error.field(), "salt") << params;
  }
}

TEST(HashArgon2id, LanesNeedMemory) {
  EXPECT_EQ(refused("hash.argon2id", R"({"memory_kib":8,"parallelism":2})").field(), "memory_kib");
}
TEST(HashArgon2id, AShortSaltIsRefused) {
  EXPECT_EQ(refused("hash.argon2id", R"({"salt":"1234567"})").field(), "salt");
}

TEST(HashBcrypt, APasswordItCantTellApartIsBadInput) {
  const std::string longest(72, 'x');
  EXPECT_EQ(run("hash.bcrypt", R"({"cost":4})", longest).substr(0, 7), "$2b$04$");
  EXPECT_EQ(refused("hash.bcrypt", R"({"cost":4})", longest + "x").code(), JobErrorCode::kBadInput);
  EXPECT_EQ(refused("hash.bcrypt", R"({"cost":4})", std::string_view("a\0b", 3)).code(), JobErrorCode::kBadInput);
}

TEST(Hash, APasswordOfMegabytesIsTooLarge) {
  EXPECT_EQ(refused("hash.pbkdf2", "{}", std::string((1U << 20) + 1, 'x')).code(), JobErrorCode::kTooLarge);
}

class BadStoredHash : public testing::TestWithParam<const char*> {};

TEST_P(BadStoredHash, IsRefusedBeforeItCostsAnything) {
  const JobError error = refused("hash.verify", R"({"hash":")" + std::string(GetParam()) + "\"}");
  EXPECT_EQ(error.code(), JobErrorCode::kInvalidArgument) << error.what();
  EXPECT_EQ(error.field(), "hash") << error.what();
}

INSTANTIATE_TEST_SUITE_P(
    Hashes, BadStoredHash,
    testing::Values("", "$", "$$", "secret", "$md5$abc", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaM",
                    // costs out of bounds
                    "$scrypt$ln=30,r=8,p=1$c2FsdA$AAAAAAAAAAA", "$scrypt$ln=31,r=8,p=1$c2FsdA$AAAAAAAAAAA",
                    "$scrypt$ln=4,r=0,p=1$c2FsdA$AAAAAAAAAAA", "$scrypt$ln=4,r=8,p=65$c2FsdA$AAAAAAAAAAA",
                    "$scrypt$ln=16,r=1,p=1$c2FsdA$AAAAAAAAAAA", "$pbkdf2-sha256$i=4294967295,l=8$c2FsdA$AAAAAAAAAAA",
                    "$pbkdf2-sha256$i=0,l=8$c2FsdA$AAAAAAAAAAA",
                    "$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAA",
                    "$argon2id$v=19$m=64,t=1001,p=1$c29tZXNhbHQ$AAAAAAAAAAA",
                    "$argon2id$v=19$m=64,t=1,p=65$c29tZXNhbHQ$AAAAAAAAAAA",
                    "$argon2id$v=19$m=8,t=1,p=2$c29tZXNhbHQ$AAAAAAAAAAA",
                    "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                    "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                    // malformed
                    "$scrypt$ln=4,r=8,p=1$c2FsdA", "$scrypt$ln=4,r=8,p=1$c2FsdA$AAAAAAAAAAA$",
                    "$scrypt$ln=4,r=8$c2FsdA$AAAAAAAAAAA", "$scrypt$ln=4,r=8,p=1,x=1$c2FsdA$AAAAAAAAAAA",
                    "$scrypt$ln=4,ln=5,r=8,p=1$c2FsdA$AAAAAAAAAAA", "$scrypt$ln=-4,r=8,p=1$c2FsdA$AAAAAAAAAAA",
                    "$scrypt$ln=4 ,r=8,p=1$c2FsdA$AAAAAAAAAAA", "$scrypt$ln,r=8,p=1$c2FsdA$AAAAAAAAAAA",
                    "$scrypt$$c2FsdA$AAAAAAAAAAA", "$scrypt$ln=4,r=8,p=1$c2FsdA$", "$scrypt$ln=4,r=8,p=1$c2FsdA$AAAA",
                    "$scrypt$ln=4,r=8,p=1$c2F*dA$AAAAAAAAAAA", "$scrypt$ln=99999999999,r=8,p=1$c2FsdA$AAAAAAAAAAA",
                    "$pbkdf2-md5$i=1$c2FsdA$AAAAAAAAAAA", "$pbkdf2-$i=1$c2FsdA$AAAAAAAAAAA",
                    "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAA",
                    "$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$AAAAAAAAAAA",
                    "$2b$05$", "$2b$0x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                    "$2b$05$CCCCCCCCCCCC$CCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));

// ---- Secrets -----------------------------------------------------------------------------------------

// Looks for a text in everything this process can write to, but for one page. The needle is kept
// flipped, so that it does not find itself.
class MemorySearch {
 public:
  explicit MemorySearch(std::string_view needle) : size_(needle.size()) {
    for (std::size_t i = 0; i < size_; ++i) flipped_[i] = static_cast<char>(~needle[i]);
  }
  [[nodiscard]] std::size_t count_outside(const void* page) const {
    const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    std::ifstream maps("/proc/self/maps");
    std::size_t found = 0;
    // a mapping of its own between two guards: it must not be looked at itself
    constexpr std::size_t kBufferBytes = 1U << 20;
    constexpr std::size_t kGuardBytes = 4096;
    auto* guarded = static_cast<char*>(
        ::mmap(nullptr, kBufferBytes + 2 * kGuardBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char* buffer = guarded + kGuardBytes;
    ::mprotect(buffer, kBufferBytes, PROT_READ | PROT_WRITE);
    for (std::string line; std::getline(maps, line);) {
      std::uint64_t begin = 0;
      std::uint64_t end = 0;
      std::array<char, 8> rights{};
      if (std::sscanf(line.c_str(), "%lx-%lx %7s", &begin, &end, rights.data()) != 3 || rights[1] != 'w') continue;
      if (end - begin > kSearchedBytesMax) continue;  // a sanitizer's shadow
      for (std::uint64_t at = begin; at < end; at += kBufferBytes - size_) {
        if (at == reinterpret_cast<std::uint64_t>(page) || at == reinterpret_cast<std::uint64_t>(buffer)) continue;
        const ssize_t n =
            ::pread(memory, buffer, std::min<std::uint64_t>(kBufferBytes, end - at), static_cast<off_t>(at));
        if (n > 0) found += count({buffer, static_cast<std::size_t>(n)}, at, page);
        ::explicit_bzero(buffer, kBufferBytes);
      }
    }
    ::munmap(guarded, kBufferBytes + 2 * kGuardBytes);
    ::close(memory);
    return found;
  }

 private:
  static constexpr std::uint64_t kSearchedBytesMax = 1ULL << 32;

  [[nodiscard]] std::size_t count(std::string_view bytes, std::uint64_t address, const void* page) const {
    std::size_t found = 0;
    for (std::size_t i = 0; i + size_ <= bytes.size(); ++i) {
      std::size_t same = 0;
      while (same < size_ && bytes[i + same] == static_cast<char>(~flipped_[same])) ++same;
      const std::uint64_t there = address + i;
      const auto first = reinterpret_cast<std::uint64_t>(page);
      if (same == size_ && (there < first || there >= first + 4096)) ++found;
    }
    return found;
  }

  std::size_t size_;
  std::array<char, 64> flipped_{};
};

TEST(MemorySearch, FindsWhatIsThere) {
  auto* page = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::strcpy(page, "needle in ");
  std::strcat(page, "a haystack");
  const MemorySearch search(page);
  EXPECT_EQ(search.count_outside(page), 0U);
  const auto copy = std::make_unique<std::string>(page);
  EXPECT_EQ(search.count_outside(page), 1U);
  ::munmap(page, 4096);
}

class PasswordsAreWiped : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(PasswordsAreWiped, NoCopyIsLeftInTheProcess) {
  const auto [kind, params] = GetParam();
  auto* page = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int i = 0; i < 40; ++i) page[i] = static_cast<char>('!' + (i * 37 + 11) % 90);
  const MemorySearch search({page, 40});
  FakeJob job(find_kind(kind), params);
  job.add_input(std::string_view(page, 40)).run();
  EXPECT_EQ(search.count_outside(page), 0U);
  ::munmap(page, 4096);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, PasswordsAreWiped,
    testing::Values(std::pair("hash.scrypt", R"({"N":1024})"), std::pair("hash.pbkdf2", R"({"iterations":3})"),
                    std::pair("hash.argon2id", R"({"memory_kib":64,"time":1})"),
                    std::pair("hash.argon2id", R"({"memory_kib":64,"time":1,"parallelism":2})"),
                    std::pair("hash.bcrypt", R"({"cost":4})"), std::pair("hash.digest", "{}"),
                    std::pair("hash.digest", R"({"algorithm":"blake2b512"})"),
                    std::pair("hash.verify",
                              R"({"hash":"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"})"),
                    std::pair("hash.verify", R"({"hash":"$scrypt$ln=4,r=8,p=1$c2FsdA$AAAAAAAAAAA"})")));

}  // namespace
}  // namespace quern::sdk
