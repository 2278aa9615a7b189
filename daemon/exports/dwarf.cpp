// SPDX-License-Identifier: GPL-2.0-or-later
#include "dwarf.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "error.h"

namespace lacuna {

namespace {

// "DWARF Debugging Information Format, Version 4", 7.5.4 (figures 18 to 20), 7.7, 7.8 and 7.12.
enum Tag : unsigned {
    tag_array = 0x01, tag_enumeration = 0x04, tag_member = 0x0d, tag_pointer = 0x0f, tag_unit = 0x11, tag_structure = 0x13,
    tag_subrange = 0x21, tag_base = 0x24, tag_enumerator = 0x28, tag_variable = 0x34,
};
enum Attribute : unsigned {
    at_location = 0x02, at_name = 0x03, at_byte_size = 0x0b, at_language = 0x13, at_const_value = 0x1c, at_producer = 0x25, at_count = 0x37,
    at_member_location = 0x38, at_encoding = 0x3e, at_external = 0x3f, at_type = 0x49,
};
enum Form : unsigned {
    form_data2 = 0x05, form_data4 = 0x06, form_string = 0x08, form_data1 = 0x0b, form_udata = 0x0f, form_ref4 = 0x13, form_exprloc = 0x18,
    form_flag_present = 0x19,
};
enum Encoding : unsigned { ate_signed = 0x05, ate_signed_char = 0x06, ate_unsigned = 0x07, ate_unsigned_char = 0x08 };
constexpr unsigned language_c99 = 0x0c, op_addr = 0x03, version = 4;

struct Abbreviation {
    Tag tag;
    bool has_children;
    std::vector<std::pair<Attribute, Form>> attributes;
};

// An entry's code is its place in here, from 1.
enum Code : unsigned { unit = 1, base, pointer, pointer_to_void, structure, member, array, subrange, variable, enumeration, enumerator };
const std::vector<Abbreviation> abbreviations = {
    {tag_unit, true, {{at_producer, form_string}, {at_language, form_data2}, {at_name, form_string}}},
    {tag_base, false, {{at_name, form_string}, {at_encoding, form_data1}, {at_byte_size, form_data1}}},
    {tag_pointer, false, {{at_byte_size, form_data1}, {at_type, form_ref4}}},
    {tag_pointer, false, {{at_byte_size, form_data1}}},
    {tag_structure, true, {{at_name, form_string}, {at_byte_size, form_data4}}},
    {tag_member, false, {{at_name, form_string}, {at_type, form_ref4}, {at_member_location, form_udata}}},
    {tag_array, true, {{at_type, form_ref4}}},
    {tag_subrange, false, {{at_count, form_udata}}},
    {tag_variable, false, {{at_name, form_string}, {at_type, form_ref4}, {at_external, form_flag_present}, {at_location, form_exprloc}}},
    {tag_enumeration, true, {{at_name, form_string}, {at_byte_size, form_data1}}},
    {tag_enumerator, false, {{at_name, form_string}, {at_const_value, form_udata}}},
};

class Writer {
public:
    void number(std::uint64_t value, unsigned bytes) // little-endian
    {
        for (unsigned i = 0; i < bytes; i++)
            text_ += static_cast<char>(value >> (8 * i));
    }

    void uleb(std::uint64_t value)
    {
        for (; value >= 0x80; value >>= 7)
            text_ += static_cast<char>(value | 0x80);
        text_ += static_cast<char>(value);
    }

    void string(std::string_view text)
    {
        text_ += text;
        text_ += '\0';
    }

    void put(std::size_t at, std::uint64_t value, unsigned bytes)
    {
        for (unsigned i = 0; i < bytes; i++)
            text_[at + i] = static_cast<char>(value >> (8 * i));
    }

    std::size_t size() const { return text_.size(); }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

std::string abbreviation_table()
{
    Writer out;
    for (unsigned code = 1; const Abbreviation& one : abbreviations) {
        out.uleb(code++);
        out.uleb(one.tag);
        out.number(one.has_children, 1);
        for (const auto& [attribute, form] : one.attributes) {
            out.uleb(attribute);
            out.uleb(form);
        }
        out.number(0, 2); // no more attributes
    }
    out.number(0, 1);
    return out.take();
}

// One unit. Of types that are yet to be written the place is filled in at the end.
class Unit {
public:
    explicit Unit(const Json& isf) : isf_(isf), word_(isf.at("base_types").at("pointer").at("size").get<unsigned>()) {}

    std::string write(const std::function<std::optional<std::uint64_t>(const std::string&)>& address)
    {
        out_.number(0, 4); // the unit's length
        out_.number(version, 2);
        out_.number(0, 4); // its abbreviations begin at their section's start
        out_.number(word_, 1);
        begin(unit);
        const Json& producer = isf_.at("metadata").at("producer");
        out_.string(producer.at("name").get<std::string>() + " " + producer.at("version").get<std::string>());
        out_.number(language_c99, 2);
        out_.string("vmlinux");
        for (const auto& [name, type] : isf_.at("base_types").items())
            if (type.at("size") != 0)
                base_type(name, type);
        for (const auto& [name, type] : isf_.at("enums").items())
            enumeration_type(name, type);
        for (const auto& [name, type] : isf_.at("user_types").items())
            structure_type(name, type);
        for (const auto& [name, symbol] : isf_.at("symbols").items())
            if (symbol.contains("type") && size_of(symbol.at("type")))
                if (const auto where = address(name))
                    a_variable(name, symbol.at("type"), *where);
        while (!wanted_.empty())
            derived_type(std::exchange(wanted_, {}));
        for (const std::string& name : unknown_)
            structure_type(name, {{"size", 0}, {"fields", Json::object()}});
        end();
        for (const auto& [at, key] : references_)
            out_.put(at, entries_.at(key), 4);
        out_.put(0, out_.size() - 4, 4);
        return out_.take();
    }

private:
    void begin(Code code) { out_.uleb(code); }
    void end() { out_.number(0, 1); } // of an entry's children

    // A type by what it says of itself; those that are not by name are written when all others are.
    void reference(const Json& type)
    {
        const std::string key = type.dump();
        if (type.at("kind") == "pointer" || type.at("kind") == "array")
            if (!entries_.contains(key))
                wanted_.emplace(key, type);
        if (type.at("kind") == "struct" && !isf_.at("user_types").contains(type.at("name").get<std::string>()))
            unknown_.insert(type.at("name").get<std::string>());
        references_.emplace_back(out_.size(), key);
        out_.number(0, 4);
    }

    void entry(const char* kind, const std::string& name) { entries_[Json({{"kind", kind}, {"name", name}}).dump()] = out_.size(); }

    // Of what has no bytes, 0.
    std::uint64_t size_of(const Json& type) const
    {
        const std::string kind = type.at("kind");
        if (kind == "pointer")
            return word_;
        if (kind == "array")
            return type.at("count").get<std::uint64_t>() * size_of(type.at("subtype"));
        if (kind == "base")
            return isf_.at("base_types").at(type.at("name").get<std::string>()).at("size");
        const auto known = isf_.at("user_types").find(type.at("name").get<std::string>());
        return known == isf_.at("user_types").end() ? 0 : size_of_structure(*known); // of symbols that is so until looks have been taken
    }

    std::uint64_t size_of_structure(const Json& structure_json) const
    {
        std::uint64_t size = structure_json.at("size");
        for (const auto& [unused, field] : structure_json.at("fields").items())
            size = std::max(size, field.at("offset").get<std::uint64_t>() + size_of(field.at("type")));
        return size;
    }

    void base_type(const std::string& name, const Json& type)
    {
        const bool is_signed = type.at("signed"), is_char = type.at("kind") == "char";
        entry("base", name);
        begin(base);
        out_.string(name);
        out_.number(is_char ? (is_signed ? ate_signed_char : ate_unsigned_char) : is_signed ? ate_signed : ate_unsigned, 1);
        out_.number(type.at("size").get<unsigned>(), 1);
    }

    void enumeration_type(const std::string& name, const Json& type)
    {
        begin(enumeration);
        out_.string(name);
        out_.number(type.at("size").get<unsigned>(), 1);
        for (const auto& [constant, value] : type.at("constants").items()) {
            begin(enumerator);
            out_.string(constant);
            out_.uleb(value.get<std::uint64_t>());
        }
        end();
    }

    void structure_type(const std::string& name, const Json& type)
    {
        entry("struct", name);
        begin(structure);
        out_.string(name);
        out_.number(size_of_structure(type), 4);
        for (const auto& [field_name, field] : type.at("fields").items()) {
            if (!size_of(field.at("type")))
                continue;
            begin(member);
            out_.string(field_name);
            reference(field.at("type"));
            out_.uleb(field.at("offset").get<std::uint64_t>());
        }
        end();
    }

    void a_variable(const std::string& name, const Json& type, std::uint64_t address)
    {
        begin(variable);
        out_.string(name);
        reference(type);
        out_.uleb(1 + word_);
        out_.number(op_addr, 1);
        out_.number(address, word_);
    }

    void derived_type(const std::map<std::string, Json>& types)
    {
        for (const auto& [key, type] : types) {
            if (entries_.contains(key))
                continue;
            entries_[key] = out_.size();
            const Json& subtype = type.at("subtype");
            const bool is_pointer = type.at("kind") == "pointer";
            const bool to_nothing = is_pointer && subtype.at("kind") == "base" && size_of(subtype) == 0;
            begin(to_nothing ? pointer_to_void : is_pointer ? pointer : array);
            if (is_pointer)
                out_.number(word_, 1);
            if (!to_nothing)
                reference(subtype);
            if (is_pointer)
                continue;
            begin(subrange);
            out_.uleb(type.at("count").get<std::uint64_t>());
            end();
        }
    }

    const Json& isf_;
    unsigned word_;
    Writer out_;
    std::map<std::string, std::size_t> entries_; // where in the unit each type is
    std::map<std::string, Json> wanted_;         // pointers and arrays
    std::set<std::string> unknown_;              // structures of which only the name is known
    std::vector<std::pair<std::size_t, std::string>> references_;
};

} // namespace

Dwarf make_dwarf(const Json& isf, const std::function<std::optional<std::uint64_t>(const std::string&)>& address)
{
    return {Unit(isf).write(address), abbreviation_table()};
}

} // namespace lacuna
