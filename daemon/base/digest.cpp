// SPDX-License-Identifier: GPL-2.0-or-later
#include "digest.h"

#include <array>
#include <cstdint>
#include <memory>

#include <openssl/evp.h>

#include "error.h"
#include "names.h"

namespace lacuna {

std::string digest_of(std::initializer_list<ByteView> pieces)
{
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    for (const ByteView piece : pieces) {
        const std::uint64_t size = piece.size(); // so that two pieces are not one
        ok = ok && EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1 &&
             EVP_DigestUpdate(context.get(), &size, sizeof(size)) == 1;
    }
    if (!ok || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1)
        throw Error("has no SHA-256", "OpenSSL");
    return hex(ByteView(digest).first(length));
}

} // namespace lacuna
