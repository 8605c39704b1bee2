/// Checks of values that many fields share. Each reports what is wrong and says whether the value can be used.
enum Syntax {
    /// An RFC 1123 host name; with a leading `*.` if `wildcard`. Not an address, no port.
    static func isHostname(_ text: String, wildcard: Bool) -> Bool {
        var rest = text[...]
        if wildcard, rest.hasPrefix("*.") { rest = rest.dropFirst(2) }
        guard !rest.isEmpty, rest.utf8.count <= 253 else { return false }
        let labels = rest.split(separator: ".", omittingEmptySubsequences: false)
        guard !labels.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else { return false }
        return labels.allSatisfy { label in
            let bytes = label.utf8
            guard (1...63).contains(bytes.count), bytes.first != 0x2D, bytes.last != 0x2D else { return false }
            return bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == 0x2D }
        }
    }

    /// Reports a host name that is not one.
    static func hostname(_ text: Located<String>, wildcard: Bool, _ report: Report) -> String? {
        if isHostname(text.value, wildcard: wildcard) { return text.value }
        let lower = text.value.lowercased()
        let remedy: String
        if isHostname(lower, wildcard: wildcard) {
            remedy = "write it in lower case: \"\(lower)\""
        } else if text.value.contains("*") {
            remedy = wildcard ? "a wildcard is one whole first label: \"*.example.com\"" : "no wildcard is allowed here"
        } else if text.value.contains(":") {
            remedy = "a host name without a port"
        } else {
            remedy = "a DNS name such as \"shop.example.com\""
        }
        report.error("\"\(text.value)\" is not a host name", at: text.place, remedy: remedy)
        return nil
    }

    /// A field name of HTTP (RFC 9110 §5.6.2 token).
    static func headerName(_ text: Located<String>, _ report: Report) -> String? {
        let isToken =
            !text.value.isEmpty && text.value.utf8.count <= 256
            && text.value.utf8.allSatisfy { isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
        if isToken { return text.value }
        report.error(
            "\"\(text.value)\" is not a header name", at: text.place,
            remedy: text.value.hasPrefix(":")
                ? "pseudo-headers cannot be matched or set; use method, path or hostnames"
                : "letters, digits and hyphens")
        return nil
    }

    /// A field value of HTTP (RFC 9110 §5.5): no control characters.
    static func headerValue(_ text: Located<String>, _ report: Report) -> String? {
        if text.value.utf8.count <= 4096, text.value.utf8.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) {
            return text.value
        }
        report.error("the header value has a control character or is longer than 4096 bytes", at: text.place)
        return nil
    }

    /// A name of a cookie (RFC 6265 §4.1.1).
    static func cookieName(_ text: Located<String>, _ report: Report) -> String? {
        let isToken =
            (1...256).contains(text.value.utf8.count)
            && text.value.utf8.allSatisfy { isAlphanumeric($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
        if isToken { return text.value }
        report.error("\"\(text.value)\" is not a cookie name", at: text.place, remedy: "letters, digits, - and _")
        return nil
    }

    /// A path that a cookie is for (RFC 6265 §4.1.1).
    static func cookiePath(_ text: Located<String>, _ report: Report) -> String? {
        let isPath =
            text.value.hasPrefix("/") && text.value.utf8.count <= 1024
            && text.value.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != 0x3B }
        if isPath { return text.value }
        report.error("\"\(text.value)\" is not a path of a cookie", at: text.place, remedy: "for example /")
        return nil
    }

    /// An absolute path as the standard wants it for Exact and PathPrefix.
    static func path(_ text: Located<String>, _ report: Report) -> String? {
        let value = text.value
        let problem: String?
        if !value.hasPrefix("/") {
            problem = "does not start with /"
        } else if value.utf8.count > 1024 {
            problem = "is longer than 1024 bytes"
        } else if value.contains("//") {
            problem = "contains //"
        } else if value.contains("/./") || value.contains("/../") || value.hasSuffix("/.") || value.hasSuffix("/..") {
            problem = "contains a . or .. segment"
        } else if value.lowercased().contains("%2f") {
            problem = "contains an encoded /"
        } else if value.contains("#") || value.contains("?") {
            problem = "contains \(value.contains("#") ? "#" : "?")"
        } else if let odd = value.unicodeScalars.first(where: { !isPathCharacter($0) }) {
            problem = "contains \(odd.value > 0x20 && odd.value != 0x7F ? "\"\(odd)\"" : "white space")"
        } else if value.split(separator: "%", omittingEmptySubsequences: false).dropFirst().contains(where: {
            $0.utf8.count < 2 || UInt8($0.prefix(2), radix: 16) == nil
        }) {
            problem = "has a % without two hexadecimal digits"
        } else {
            problem = nil
        }
        guard let problem else { return value }
        let remedy: String
        if value.utf8.first.map({ isAlphanumeric($0) }) == true, !value.contains("?"), !value.contains("//") {
            remedy = "\"/\(value)\""
        } else if value.hasPrefix("^") || value.contains(".*") {
            remedy = "\"type: RegularExpression\" if a regular expression is meant"
        } else if value.contains("*") {
            remedy = "PathPrefix needs no *: it stands for everything below"
        } else {
            remedy = value.contains("?") ? "match the query with queryParams" : "a normalised path such as \"/cart\""
        }
        report.error("the path \"\(value)\" \(problem)", at: text.place, remedy: remedy)
        return nil
    }

    /// What may stand in a path (RFC 3986 §3.3, and the standard's own pattern).
    private static func isPathCharacter(_ scalar: Unicode.Scalar) -> Bool {
        guard let byte = UInt8(exactly: scalar.value) else { return false }
        return isAlphanumeric(byte) || "/-._~!$&'()*+,;=:@%".utf8.contains(byte)
    }

    /// A name of an object or of a part of one (RFC 1123 subdomain).
    static func objectName(_ text: Located<String>, _ report: Report) -> String? {
        let bytes = text.value.utf8
        let isName =
            (1...253).contains(bytes.count) && bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == 0x2D || $0 == 0x2E }
            && isLowerAlphanumeric(bytes.first ?? 0) && isLowerAlphanumeric(bytes.last ?? 0)
        if isName { return text.value }
        report.error(
            "\"\(text.value)\" is not a valid name", at: text.place,
            remedy: "lower case letters, digits, hyphens and dots, at most 253")
        return nil
    }

    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isLowerAlphanumeric(byte) || (0x41...0x5A).contains(byte)
    }

    /// True for an IPv4 address in dotted form.
    static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                (1...3).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
                    && (part.utf8.count == 1 || part.utf8.first != 0x30) && (Int(part) ?? 256) <= 255
            }
    }

    /// True for an IPv6 address without brackets and without a zone.
    static func isIPv6(_ text: String) -> Bool {
        let halves = text.components(separatedByPair: "::")
        guard halves.count <= 2, text.utf8.contains(0x3A), text.utf8.count <= 45 else { return false }
        var groups = 0
        for (index, half) in halves.enumerated() where !half.isEmpty {
            let parts = half.split(separator: ":", omittingEmptySubsequences: false)
            for (position, part) in parts.enumerated() {
                if part.contains(".") {
                    let isLast = position == parts.count - 1 && index == halves.count - 1
                    guard isLast, isIPv4(String(part)) else { return false }
                    groups += 2
                } else {
                    guard (1...4).contains(part.utf8.count), UInt16(part, radix: 16) != nil, part.first != "+" else {
                        return false
                    }
                    groups += 1
                }
            }
        }
        return halves.count == 2 ? groups <= 7 : groups == 8
    }
}

extension String {
    fileprivate func components(separatedByPair pair: String) -> [Substring] {
        var result: [Substring] = []
        var start = startIndex
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(pair) {
                result.append(self[start..<index])
                index = self.index(index, offsetBy: pair.count)
                start = index
            } else {
                index = self.index(after: index)
            }
        }
        result.append(self[start...])
        return result
    }
}
