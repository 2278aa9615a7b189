// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include <openssl/types.h>

#include "bytes.h"

namespace lacuna {

// SHA-256 of what comes piece by piece. Throws Error if OpenSSL has none.
class Digest {
public:
    Digest();
    ~Digest();
    void add(ByteView piece);
    std::string end(); // in hex; nothing may be added afterwards

private:
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

// SHA-256 over some pieces and their lengths, in hex: whoever makes one of them must not be able to pass it
// off as another. Throws Error if OpenSSL has none.
std::string digest_of(std::initializer_list<ByteView> pieces);

} // namespace lacuna
