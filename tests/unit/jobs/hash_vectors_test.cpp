// The published vectors of every algorithm.
#include <argon2.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "worker/jobs/hash/bcrypt.h"
#include "worker/jobs/hash/digest.h"
#include "worker/jobs/hash/kdf.h"
#include "worker/jobs/hash/phc.h"

namespace quern::hash {
namespace {

using namespace std::string_view_literals;

ByteSpan bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
std::string hex(ByteSpan data) { return std::string(view(to_hex(data))); }

TEST(Scrypt, Rfc7914) {
  EXPECT_EQ(hex(scrypt(bytes(""), bytes(""), {.n = 16, .r = 1, .p = 1})),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
            "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  EXPECT_EQ(hex(scrypt(bytes("password"), bytes("NaCl"), {.n = 1024, .r = 8, .p = 16})),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  EXPECT_EQ(hex(scrypt(bytes("pleaseletmein"), bytes("SodiumChloride"), {.n = 16384, .r = 8, .p = 1})),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST(Scrypt, Rfc7914sLargestTakesAGibibyte) {
  EXPECT_EQ(hex(scrypt(bytes("pleaseletmein"), bytes("SodiumChloride"), {.n = 1048576, .r = 8, .p = 1})),
            "2101cb9b6a511aaeaddbbe09cf70f881ec568d574a2ffd4dabe5ee9820adaa47"
            "8e56fd8f4ba5d09ffa1c6d927c40f4c337304049e8a952fbcbf45c6fa77a41a4");
}

TEST(Pbkdf2, Rfc6070) {
  const auto sha1 = [](std::string_view password, std::string_view salt, std::uint32_t iterations, std::size_t length) {
    return hex(pbkdf2(bytes(password), bytes(salt), {.digest = "sha1", .iterations = iterations, .dk_len = length}));
  };
  EXPECT_EQ(sha1("password", "salt", 1, 20), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
  EXPECT_EQ(sha1("password", "salt", 2, 20), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
  EXPECT_EQ(sha1("password", "salt", 4096, 20), "4b007901b765489abead49d926f721d065a429c1");
  EXPECT_EQ(sha1("passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 25),
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038");
  EXPECT_EQ(sha1("pass\0word"sv, "sa\0lt"sv, 4096, 16), "56fa6aa75548099dcc37d7f03425e0c3");
}

TEST(Pbkdf2, Rfc7914) {
  EXPECT_EQ(hex(pbkdf2(bytes("passwd"), bytes("salt"), {.digest = "sha256", .iterations = 1, .dk_len = 64})),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
  EXPECT_EQ(hex(pbkdf2(bytes("Password"), bytes("NaCl"), {.digest = "sha256", .iterations = 80000, .dk_len = 64})),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
            "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d");
}

TEST(Argon2id, Rfc9106) {
  const Bytes password(32, std::byte{1});
  const Bytes salt(16, std::byte{2});
  const Bytes secret(8, std::byte{3});
  const Bytes associated(12, std::byte{4});
  EXPECT_EQ(hex(argon2id(
                password, salt,
                {.memory_kib = 32, .time = 3, .lanes = 4, .dk_len = 32, .secret = secret, .associated = associated})),
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

TEST(Argon2id, ReferenceImplementationsString) {
  constexpr auto kHash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  EXPECT_TRUE(verify(bytes("password"), kHash));
  const Argon2Params params{.memory_kib = 65536, .time = 2, .lanes = 1, .dk_len = 32};
  EXPECT_EQ(view(format_argon2id(params, bytes("somesalt"), argon2id(bytes("password"), bytes("somesalt"), params))),
            kHash);
}

// One lane and a salt of 16 bytes go to libsodium, everything else to libargon2.
TEST(Argon2id, BothLibrariesGiveTheSameKey) {
  for (const std::size_t length : {15U, 16U, 32U, 64U, 100U}) {
    const SecretBytes ours = argon2id(bytes("password"), bytes("0123456789abcdef"),
                                      {.memory_kib = 1000, .time = 2, .lanes = 1, .dk_len = length});
    Bytes theirs(length);
    ASSERT_EQ(argon2id_hash_raw(2, 1000, 1, "password", 8, "0123456789abcdef", 16, theirs.data(), length), ARGON2_OK);
    EXPECT_EQ(hex(ours), hex(theirs)) << length;
  }
}

TEST(Bcrypt, PublishedHashes) {
  const std::pair<std::string_view, std::string_view> published[] = {
      {"U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
      {"U*U*", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
      {"U*U*U", "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
      {"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
      {"a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"},
      {"abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"},
      {"abcdefghijklmnopqrstuvwxyz", "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC"},
      {"~!@#$%^&*()      ~!@#$%^&*()PNBFRD", "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO"},
  };
  for (const auto& [password, hash] : published) {
    EXPECT_TRUE(verify(bytes(password), hash)) << hash;
    EXPECT_FALSE(verify(bytes(std::string(password) + "x"), hash)) << hash;
  }
}

TEST(Digest, PublishedDigestsOfAbc) {
  const std::pair<std::string_view, std::string_view> published[] = {
      {"sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
      {"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
      {"sha512",
       "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
      {"sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
      {"sha3-512",
       "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
       "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
      {"blake2b512",
       "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
       "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
      {"blake2s256", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
  };
  for (const auto& [algorithm, expected] : published) {
    Digest digest(algorithm);
    digest.update(bytes("a"));
    digest.update(bytes("bc"));
    EXPECT_EQ(hex(digest.finish()), expected) << algorithm;
  }
}

}  // namespace
}  // namespace quern::hash
