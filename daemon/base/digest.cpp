// SPDX-License-Identifier: GPL-2.0-or-later
#include "digest.h"

#include <array>
#include <cstdint>

#include <openssl/evp.h>

#include "error.h"
#include "names.h"

namespace lacuna {

namespace {

void check(bool done)
{
    if (!done)
        throw Error("has no SHA-256", "OpenSSL");
}

} // namespace

Digest::Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free)
{
    check(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

Digest::~Digest() = default;

void Digest::add(ByteView piece)
{
    check(EVP_DigestUpdate(context_.get(), piece.data(), piece.size()) == 1);
}

std::string Digest::end()
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    return hex(ByteView(digest).first(length));
}

std::string digest_of(std::initializer_list<ByteView> pieces)
{
    Digest digest;
    for (const ByteView piece : pieces) {
        const std::uint64_t size = piece.size(); // so that two pieces are not one
        digest.add(piece);
        digest.add({reinterpret_cast<const std::uint8_t*>(&size), sizeof(size)});
    }
    return digest.end();
}

} // namespace lacuna
